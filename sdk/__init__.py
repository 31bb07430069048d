"""The client: signs, submits, gathers the quorum of answers, verifies receipts and proofs."""
