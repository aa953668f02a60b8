"""Which secret a system has refused: it is not sent again, by this process or by the next one.

Runs come and go by the minute, and each would try the secret anew: a handful of attempts lock the account. So a refusal
outlives the process, in a file under GL_HOME that holds no secret but a salted scrypt hash to know it by. Another
secret, or another configuration of the log-on, is a new attempt; so is the same one once a person has deleted the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from datetime import datetime
from pathlib import Path

from resources.core.errors import AuthError


class Refusals:
    """Remembers the last secret refused to one log-on; threads may share it."""

    def __init__(self, source: str, whose: str, folder: Path | None) -> None:
        """Remember for the log-on `whose` of the system `source`; in memory alone without a folder."""
        self._source = source
        self._path = folder / f"{hashlib.sha256(whose.encode()).hexdigest()[:32]}.json" if folder is not None else None
        self._lock = threading.Lock()
        self._held: tuple[bytes, str] | None = None
        self._compared: tuple[int, bytes, str | None] | None = None

    def check(self, secret: bytes) -> None:
        """Refuse to send `secret` (the digest of all that is secret about the log-on) if the system has refused it.

        Raises:
            AuthError: It has, now or earlier; the message says when and what to do.
        """
        with self._lock:
            words = self._filed(secret) if self._path is not None else self._kept(secret)
        if words is not None:
            remedy = f"; once it is right, delete {self._path}" if self._path is not None else ""
            raise AuthError(
                f"{words} (the same secret is not sent again, since that may lock the account{remedy})",
                source=self._source,
            )

    def note(self, secret: bytes, words: str, now: datetime) -> None:
        """Remember that the system refused `secret` with `words`, which hold no secret."""
        with self._lock:
            if self._path is None:
                self._held = (secret, words)
                return
            salt = secrets.token_bytes(16)
            text = {"salt": salt.hex(), "hash": _hash(secret, salt), "words": words, "refused_at": now.isoformat()}
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}.tmp")
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(text), encoding="utf-8")
            draft.replace(self._path)

    def _kept(self, secret: bytes) -> str | None:
        return self._held[1] if self._held is not None and self._held[0] == secret else None

    def _filed(self, secret: bytes) -> str | None:
        """Return the words of the file if it is about this secret."""
        assert self._path is not None
        try:
            written_at = self._path.stat().st_mtime_ns
        except OSError:
            return None
        # the hash takes some 50 ms on purpose; it is made once for a file
        if self._compared is None or self._compared[:2] != (written_at, secret):
            self._compared = (written_at, secret, self._read(secret))
        return self._compared[2]

    def _read(self, secret: bytes) -> str | None:
        assert self._path is not None
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            same = secrets.compare_digest(_hash(secret, bytes.fromhex(told["salt"])), told["hash"])
            return f"{told['words']} at {told['refused_at']}" if same else None
        except (OSError, ValueError, KeyError, TypeError):  # deleted just now, or torn
            return None


def _hash(secret: bytes, salt: bytes) -> str:
    return hashlib.scrypt(secret, salt=salt, n=2**14, r=8, p=1, dklen=32).hex()
