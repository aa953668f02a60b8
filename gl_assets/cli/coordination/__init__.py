"""`gl agents`: the registry, commands and events, keys, what was refused."""
