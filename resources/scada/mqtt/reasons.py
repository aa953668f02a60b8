"""What a broker's answers mean: reason codes of MQTT 5 and return codes of 3.1.1 as errors in plain words.

Source: MQTT 5.0, 2.4 and 3.2.2.2; MQTT 3.1.1, 3.2.2.3.
"""

from __future__ import annotations

from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.scada.mqtt import wire

_OLD_CODES = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""Return codes of 3.1.1 -> reason codes of 5."""

_WORDS: dict[int, tuple[type[SourceError], str]] = {
    0x80: (UnreachableError, "unspecified error: see the broker's log"),
    0x81: (ProtocolError, "malformed packet: see the broker's log"),
    0x82: (ProtocolError, "protocol error: see the broker's log"),
    0x84: (ProtocolError, "the broker does not speak this MQTT version: set broker.protocol to the other one"),
    0x85: (ProtocolError, "the broker refuses the client id: choose another client_id"),
    0x86: (AuthError, "wrong user name or password: check broker.username and the variable that broker.password names"),
    0x87: (AuthError, "not authorized: have the broker's administrator allow this user and client_id"),
    0x88: (UnreachableError, "the broker is not available now"),
    0x89: (ThrottledError, "the broker is busy"),
    0x8A: (AuthError, "this client is banned: ask the broker's administrator"),
    0x8B: (UnreachableError, "the broker is shutting down"),
    0x8C: (AuthError, "the broker asks for another way to authenticate"),
    0x8D: (UnreachableError, "keep-alive timeout: the broker did not hear from us"),
    0x8E: (ProtocolError, "another client took over the session: give every collector a client_id of its own"),
    0x93: (ProtocolError, "more messages in flight than agreed: lower receive_maximum"),
    0x95: (ProtocolError, "packet too large"),
    0x96: (ThrottledError, "message rate too high"),
    0x97: (ThrottledError, "a quota of the broker is exceeded"),
    0x98: (UnreachableError, "the broker's administrator closed the connection"),
    0x9C: (UnreachableError, "the broker sends us to another server: set broker.host to it"),
    0x9D: (UnreachableError, "the broker has moved: set broker.host to its new address"),
    0x9F: (ThrottledError, "connecting too often"),
}


def error_of(code: int, *, source: str, tried: str, detail: str = "") -> SourceError:
    """Return the error that a reason code of MQTT 5 (from 0x80 on) stands for."""
    kind, words = _WORDS.get(code, (ProtocolError, "see the broker's log"))
    said = f"{words} (reason 0x{code:02x}{', ' + detail if detail else ''})"
    return kind(f"source {source}: {tried}: {said}", source=source)


def accepted(body: bytes, connect: wire.Connect, *, source: str, peer: str) -> int:
    """Return the keep-alive in seconds that a CONNACK leaves in force.

    Raises:
        SourceError: The broker refused; AuthError for credentials and permission.
    """
    if len(body) < 2:
        raise ProtocolError(
            f"source {source}: connecting to {peer}: a CONNACK of {len(body)} bytes: this is no MQTT broker",
            source=source,
        )
    code, properties = body[1], dict[int, int | bytes]()
    if connect.version == 5 and len(body) > 2:
        properties, _ = wire.read_properties(body, 2)
    elif connect.version != 5:
        code = _OLD_CODES.get(code, code and 0x80)
    if code:
        raise error_of(
            code, source=source, tried=f"connecting to {peer} as {connect.client_id}", detail=_said(properties)
        )
    keepalive = properties.get(wire.SERVER_KEEP_ALIVE, connect.keepalive_s)
    return keepalive if isinstance(keepalive, int) else connect.keepalive_s


def disconnected(body: bytes, *, source: str, peer: str) -> SourceError:
    """Return the error that a broker's DISCONNECT (MQTT 5) stands for."""
    if not body or body[0] < 0x80:
        return UnreachableError(f"source {source}: {peer} ended the connection: see the broker's log", source=source)
    properties = wire.read_properties(body, 1)[0] if len(body) > 1 else {}
    return error_of(body[0], source=source, tried=f"{peer} ended the connection", detail=_said(properties))


def _said(properties: dict[int, int | bytes]) -> str:
    said = properties.get(wire.REASON_STRING)
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else ""
