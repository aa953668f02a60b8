"""Modbus TCP and TLS client: polled registers to readings."""
