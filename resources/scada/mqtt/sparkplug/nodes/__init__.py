"""Edge nodes as their messages describe them: births, aliases, sequence numbers; what of it outlives the process."""
