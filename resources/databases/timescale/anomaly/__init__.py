"""Detectors of equipment, the rows they see, and what they found."""
