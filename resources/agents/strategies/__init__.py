"""Who of the agents gets a command, in which order and how many at a time: one module for each strategy. Pure."""
