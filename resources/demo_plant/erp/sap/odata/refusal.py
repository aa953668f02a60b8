"""What a fake SAP answers to a request that it does not understand."""

from __future__ import annotations


class BadQueryError(Exception):
    """The service does not understand the request; `status` is what it answers."""

    def __init__(self, message: str, status: int = 400) -> None:
        """Keep the HTTP status beside the message."""
        super().__init__(message)
        self.status = status
