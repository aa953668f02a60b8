"""What becomes a reading: the rules of time, clocks that are wrong, and rejects."""
