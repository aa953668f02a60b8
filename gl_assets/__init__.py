"""What data exists: Dagster assets, schemas, transforms, checks. Opens no socket."""
