"""The long-running acquisition process; no Dagster inside."""
