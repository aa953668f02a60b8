"""`gl bench anomalies`."""
