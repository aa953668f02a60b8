"""`gl bench connections`."""
