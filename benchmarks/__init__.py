"""Each figure a ratio against a bare limit or a peer, measured in one run."""
