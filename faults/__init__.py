"""The lab for testers: scenarios of faults, the targets that run them, and one verdict."""
