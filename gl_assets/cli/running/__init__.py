"""`gl up`, `demo`, `collect`, `ingest`: the platform's processes, from start to end."""
