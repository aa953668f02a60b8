"""`gl bench store`."""
