"""Whom to connect to and whom to believe: TLS, certificates, pins, the list of hosts that are allowed."""
