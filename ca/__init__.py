"""Identities: keys, signatures, certificates and the root CA that issues them (M8)."""
