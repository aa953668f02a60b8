"""Assets of measurements."""
