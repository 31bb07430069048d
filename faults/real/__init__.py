"""Nodes of a lab as real processes: some lie, and links break by order."""
