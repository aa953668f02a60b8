"""From the bytes of a message to its payload, compressed ones too; nothing that a peer sends gets further than here.

A compressed payload has `uuid` SPBV1.0_COMPRESSED, the compressed one in `body`, and a metric `algorithm` with GZIP or
DEFLATE (absent: DEFLATE).
"""

from __future__ import annotations

import zlib

from resources.scada.mqtt.sparkplug.payload.datatypes import RefusedError
from resources.scada.mqtt.sparkplug.payload.schema import COMPRESSED, DecodeError, PayloadMessage, as_text, parse

LARGEST = 16_777_216
"""Bytes that a payload may unpack to; a few kilobytes can be made to unpack to gigabytes."""
_ALGORITHMS = {"GZIP": 31, "DEFLATE": 15}
"""Name -> window bits of zlib, which tell the container too."""


def read_payload(data: bytes) -> PayloadMessage:
    """Return the payload in the bytes of a message, unpacked if it was compressed.

    Raises:
        RefusedError: The bytes are no Sparkplug B payload.
    """
    try:
        payload = parse(data)
        if payload.body and payload.uuid == COMPRESSED:
            return _unpacked(payload)
    except DecodeError as error:
        raise RefusedError("garbage payload: it is no Sparkplug B payload (protobuf cannot read it)") from error
    return payload


def _unpacked(envelope: PayloadMessage) -> PayloadMessage:
    named = next((as_text(m.string_value) for m in envelope.metrics if m.name == "algorithm"), "DEFLATE")
    bits = _ALGORITHMS.get(named.upper())
    if bits is None:
        raise RefusedError(f"the payload is compressed with {named[:40]!r}: only GZIP and DEFLATE are known")
    stream = zlib.decompressobj(bits)
    try:
        body = stream.decompress(envelope.body, LARGEST)
    except zlib.error as error:
        raise RefusedError(f"garbage payload: {named.upper()} cannot unpack it ({error})") from error
    if stream.unconsumed_tail:
        raise RefusedError(f"the payload unpacks to more than {LARGEST} bytes")
    if not stream.eof:
        raise RefusedError("garbage payload: its compressed part is cut short")
    payload = parse(body)
    # sequence and time may stand outside only
    if envelope.HasField("seq") and not payload.HasField("seq"):
        payload.seq = envelope.seq
    if envelope.HasField("timestamp") and not payload.HasField("timestamp"):
        payload.timestamp = envelope.timestamp
    return payload
