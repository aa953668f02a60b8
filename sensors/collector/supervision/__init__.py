"""Keeping one source connected: tried, watched, left alone for a while, looked at for what is new."""
