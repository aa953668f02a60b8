"""The payloads of ordinary topics (JSON, CSV, numbers, texts) to readings, and values to commands.

A `PayloadDecoder` of the connector; no socket is opened here. Sparkplug B has a package of its own.
"""
