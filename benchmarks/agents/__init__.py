"""`gl bench agents`."""
