"""The gl command: the composition root of everything outside Dagster."""
