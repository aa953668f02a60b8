"""The data-quality gates."""
