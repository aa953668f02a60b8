"""Connections to a broker, whatever the payloads mean: packets, sessions, acknowledgements, reasons.

Nothing here knows a tag, a sensor or a reading.
"""
