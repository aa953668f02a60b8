"""Connectors to ERP systems: one folder a system."""
