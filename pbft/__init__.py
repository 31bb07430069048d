"""Practical Byzantine Fault Tolerance: a sans-I/O core, and the adapters that give it a network, a disk and a clock."""
