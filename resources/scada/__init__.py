"""Connectors to SCADA systems and devices: one folder a protocol, each with config, client, codec, resource, README."""
