"""Transactions, blocks, world state, proofs and receipts: what agreement leads to, and how anyone can check it."""
