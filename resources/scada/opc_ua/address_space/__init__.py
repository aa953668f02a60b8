"""What a server has: nodes, their paths, types and units, and parts of their values."""
