"""Assets of ERP records."""
