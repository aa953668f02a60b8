"""Databases the platform writes to or reads from."""
