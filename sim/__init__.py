"""The deterministic simulator: the same replicas, ledger and contracts under a virtual clock, network and disk."""
