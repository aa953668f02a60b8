"""Anomalies of equipment as data: detectors that are trained, and what they find in each window.

The arithmetic is `gl_assets.transforms.anomaly`; here are the assets, and reading and writing around them.
"""
