"""Corrections of rejected rows: originals read, rules and files applied. Pure functions; no Dagster, no I/O."""
