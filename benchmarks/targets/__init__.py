"""`gl bench targets`."""
