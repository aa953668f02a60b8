"""The one tree of errors this platform raises.

::

    PlatformError
    ├── ConfigError            the user's configuration or environment is wrong; a person must change it
    ├── SourceError            a foreign system did not do what was asked
    │   ├── UnreachableError   no connection, time-out, connection lost           (may be retried)
    │   ├── ThrottledError     the system asks for a pause                         (may be retried)
    │   ├── AuthError          credentials, certificate or permission refused      (never retried)
    │   └── ProtocolError      the answer breaks the protocol or names a bad item  (never retried)
    └── DataError              rows that must not be stored; they are kept with their reasons

A message says what was tried, on what, what came back and what to do. It never holds a secret or a payload.
"""

from __future__ import annotations


class PlatformError(Exception):
    """Base of every error a caller of this platform may catch."""


class ConfigError(PlatformError):
    """The configuration or the environment is wrong; nothing works until a person has changed it."""


class SourceError(PlatformError):
    """A foreign system failed; `source` names it as the configuration does."""

    def __init__(self, message: str, *, source: str = "") -> None:
        """Keep the name of the source beside the message."""
        super().__init__(message)
        self.source = source


class UnreachableError(SourceError):
    """No connection, no answer in time, or a connection that broke. May be retried."""


class ThrottledError(SourceError):
    """The system asks for a pause of `retry_after_s` seconds (None: it did not say). May be retried."""

    def __init__(self, message: str, *, source: str = "", retry_after_s: float | None = None) -> None:
        """Keep the pause the system asked for."""
        super().__init__(message, source=source)
        self.retry_after_s = retry_after_s


class AuthError(SourceError):
    """Credentials, certificate or permission refused. Never retried: repeating it may lock an account."""


class ProtocolError(SourceError):
    """The answer breaks the protocol, or names an item that does not exist. Never retried."""


class DataError(PlatformError):
    """Rows that must not be stored, with their reasons."""
