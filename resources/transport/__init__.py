"""What two or more connectors share: TLS, OAuth, HTTP, OData."""
