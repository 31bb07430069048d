"""The trading day: four nodes, six metered households, their agents, and a summary that checks everything."""
