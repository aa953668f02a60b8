"""Detectors of anomalies: trained on clean rows of one equipment's sensors, kept as plain data, scored row by row.

NumPy only, so that the collector scores live readings with the very code that scores stored windows.
"""
