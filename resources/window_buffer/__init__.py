"""The durable buffer between collector and Dagster: append-only segments, one a window, and an index."""
