"""Stand-ins for the providers, on this machine: our own for faults, others' for independence."""
