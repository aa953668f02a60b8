"""The first message of an OPC UA connection: a live server acknowledges it before any channel or session."""

from __future__ import annotations

import struct

_BUFFER = 65_535


def hello(endpoint_url: str) -> bytes:
    """Return a Hello for an endpoint.

    `HELF`, size of the message (UInt32, little-endian), protocol version 0, receive and send buffer size, most message
    size and chunk count (0: no limit), endpoint URL as a length and UTF-8. Example: `opc.tcp://a:1` begins
    `48 45 4c 46 2d 00 00 00`: 45 bytes.
    Source: OPC 10000-6, 7.1.2.3.
    """
    url = endpoint_url.encode()
    body = struct.pack("<IIIIIi", 0, _BUFFER, _BUFFER, 0, 0, len(url)) + url
    return b"HELF" + struct.pack("<I", 8 + len(body)) + body
