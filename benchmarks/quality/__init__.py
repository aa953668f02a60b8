"""`gl bench quality`."""
