"""How throughput, latency and traffic grow with the number of replicas: real cores, modelled machines and network."""
