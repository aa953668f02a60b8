"""Connections to a system: how they are configured, kept and counted, and what goes wrong with them."""
