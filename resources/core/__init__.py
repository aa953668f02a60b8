"""Readings, tags, windows, units, settings, errors and the clock. No network, no database, no Dagster, no pandas."""
