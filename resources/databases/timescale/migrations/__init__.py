"""Alembic revisions of the platform's database; run by `resources.databases.timescale.migrate`, not by hand."""
