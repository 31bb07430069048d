"""One typed function for each call of the shipped contracts; written by scripts/calls.py."""
