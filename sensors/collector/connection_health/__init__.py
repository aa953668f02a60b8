"""A warning before a source fails: measures every connection, compares with its own history. No pandas, no Dagster."""
