"""`gl bench scada`, and what shows one connector by itself."""
