"""Records as they were pulled: made fit to keep, staged, landed by business day, never half."""
