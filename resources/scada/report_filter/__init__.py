"""Which readings of a tag are kept (`report:`): on change, by a deadband, or by a swinging door. No I/O, no clock."""
