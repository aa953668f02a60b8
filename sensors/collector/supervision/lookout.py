"""When a look at a port makes it worth trying a source before its pause is over.

A port that was closed and is open again means that the device is back: it is tried at once. A port that has been open
all the time means little: a server may take connections and refuse everything else, and a login tried every two seconds
would flood it with sessions. It is tried early as well, but each time in vain doubles the patience.
"""

from __future__ import annotations

FIRST_PATIENCE_S = 2.0
"""After the first failure at an open port it is tried again this much later."""


class Lookout:
    """What the looks at one port have shown."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._was_closed = False
        self._in_vain = 0

    def worth_trying(self, is_open: bool, waited_s: float) -> bool:
        """Return whether to try now, `waited_s` after the last attempt failed."""
        if not is_open:
            self._was_closed, self._in_vain = True, 0
            return False
        if self._was_closed:
            self._was_closed = False
            return True
        if waited_s >= FIRST_PATIENCE_S * 2.0 ** min(self._in_vain, 16):
            self._in_vain += 1
            return True
        return False

    def proved(self) -> None:
        """Note that the source has worked for a while."""
        self._was_closed, self._in_vain = False, 0
