"""A service that answers as Dynamics 365 Finance & Operations does to a client that reads data entities."""
