"""Bytes of OPC UA messages to columns, ids and fields, without a connection."""
