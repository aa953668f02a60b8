"""Assets about the quality of the data itself: key prefix and group `quality`."""
