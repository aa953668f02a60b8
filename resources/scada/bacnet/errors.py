"""What BACnet says when it refuses, in plain words and as errors of this platform."""

from __future__ import annotations

from dataclasses import dataclass

from bacpypes3.apdu import AbortPDU, AbortReason, ErrorPDU, ErrorRejectAbortNack, RejectPDU, RejectReason

from resources.core.errors import AuthError, ProtocolError, SourceError, UnreachableError

_WORDS = {
    "unknown-object": "the device has no such object",
    "unknown-property": "the object has no such property",
    "read-access-denied": "the device does not let us read it",
    "write-access-denied": "the device does not let anybody write it now (an input is writable only out of service)",
    "value-out-of-range": "the value is outside what the object takes",
    "invalid-data-type": "the object takes another data type",
    "not-cov-property": "the object does not report changes",
    "cov-subscription-failed": "the object does not report changes",
    "unrecognized-service": "the device does not know the service",
    "segmentation-not-supported": "the answer is longer than one message, and the device cannot split it",
    "buffer-overflow": "the answer does not fit into a message",
    "no-response": "no answer",
}

_SMALLER = frozenset(
    AbortReason(name)
    for name in ("bufferOverflow", "segmentationNotSupported", "apduTooLong", "outOfResources", "windowSizeOutOfRange")
)
_SILENT = frozenset(AbortReason(name) for name in ("tsmTimeout", "noResponse", "serverTimeout"))
_SECURITY = frozenset(AbortReason(name) for name in ("securityError", "insufficientSecurity"))


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that the device refuses while it answers for others."""

    reason: str
    """The device's word and what it means."""


def word_of(nack: object) -> str:
    """Return the device's own word: error code, reject or abort reason."""
    if isinstance(nack, ErrorPDU):
        return str(getattr(nack, "errorCode", "error"))
    if isinstance(nack, RejectPDU):
        return str(RejectReason(nack.apduAbortRejectReason))
    if isinstance(nack, AbortPDU):
        return str(AbortReason(nack.apduAbortRejectReason))
    return str(getattr(nack, "errorCode", nack))


def words(nack: object) -> str:
    """Return the device's word with what it means: `unknown-object: the device has no such object`."""
    word = word_of(nack)
    return f"{word}: {_WORDS[word]}" if word in _WORDS else word


def wants_less(nack: ErrorRejectAbortNack) -> bool:
    """Return whether a shorter request may be answered."""
    if isinstance(nack, AbortPDU):
        return AbortReason(nack.apduAbortRejectReason) in _SMALLER
    if isinstance(nack, RejectPDU):
        return RejectReason(nack.apduAbortRejectReason) in (RejectReason.bufferOverflow, RejectReason.tooManyArguments)
    return False


def unknown_service(nack: ErrorRejectAbortNack) -> bool:
    """Return whether the device lacks the whole service."""
    return isinstance(nack, RejectPDU) and nack.apduAbortRejectReason == RejectReason.unrecognizedService


def is_silence(nack: object) -> bool:
    """Return whether nobody answered."""
    return isinstance(nack, AbortPDU) and AbortReason(nack.apduAbortRejectReason) in _SILENT


def as_error(nack: ErrorRejectAbortNack, source: str, tried: str, waited_s: float) -> SourceError:
    """Return the error for a request that failed as a whole.

    Args:
        nack: What came back.
        source: Name of the source.
        tried: What was asked of whom, such as `reading 3 objects at bacnet://10.1.2.3:47808`.
        waited_s: How long was waited in all.
    """
    if is_silence(nack):
        return UnreachableError(
            f"source {source}: {tried}: no answer within {waited_s:g} s; check power, address and UDP port",
            source=source,
        )
    if isinstance(nack, AbortPDU) and AbortReason(nack.apduAbortRejectReason) in _SECURITY:
        return AuthError(
            f"source {source}: {tried}: {words(nack)}; check the access rights on the device", source=source
        )
    return ProtocolError(f"source {source}: {tried}: {words(nack)}", source=source)
