"""Pandera models, one file a table."""
