"""The contract layer (M3): a checked, metered, deterministic Python, and the shipped contracts written in it."""
