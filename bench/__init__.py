"""Measuring: a load generator with clients in processes of their own, against the machine's own signature limit."""
