"""Dynamics 365 Finance & Operations: OData V4 in its dialect, read-only."""
