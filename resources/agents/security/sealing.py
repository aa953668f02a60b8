"""Messages on their way out: signed with the sender's key of the moment, encrypted where that is asked for.

One token serves all receivers of a message whose payload is plain. An encrypted payload is for one receiver, so each
gets a token of its own: the same message_id and content, itself as the only target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from resources.agents.security.encryption import EncryptPayloads, PayloadCipher
from resources.agents.security.keys import PrivateKey, PublicKeys, load_private_key
from resources.agents.security.tokens import LARGEST_TOKEN, sign
from resources.agents.security.watched_file import WatchedFile
from resources.agents.wire.message import Message
from resources.agents.wire.permissions import Permissions
from resources.core.clock import Clock
from resources.core.errors import DataError

log = structlog.get_logger(__name__)

_CONFIDENTIAL = frozenset({"command", "query", "response"})
"""What has one receiver who can be named; heartbeats and events are for whoever may listen."""

_LOOK_EVERY_S = 1.0
"""A new key is used within a second; the former one is valid as long as it is listed."""


class SigningKey:
    """The private key in a file, read again when it was replaced: a key is rotated without a restart."""

    def __init__(self, path: Path) -> None:
        """Read `path`.

        Raises:
            ConfigError: It is missing, open to others, or not a key that signs.
        """
        self._file = WatchedFile(
            path, load_private_key, unreadable="private_key_unreadable", look_every_s=_LOOK_EVERY_S
        )

    @property
    def agent_id(self) -> str:
        """Whose key it is."""
        return self._file.content.agent_id

    @property
    def role(self) -> str:
        """What its owner may send."""
        return self._file.content.role

    def current(self) -> PrivateKey:
        """Return the key to sign with now; the last good one if the file turned unreadable, which is logged once."""
        return self._file.current()


class Sealer:
    """Makes the tokens of one sender at one site; safe from any thread."""

    def __init__(
        self,
        key: SigningKey,
        site: str,
        clock: Clock,
        *,
        cipher: PayloadCipher | None = None,
        encrypt: EncryptPayloads = "never",
    ) -> None:
        """Sign with `key`; encrypt with `cipher` as `encrypt` says."""
        self._key = key
        self._site = site
        self._clock = clock
        self._cipher = cipher if encrypt != "never" else None
        self._always = encrypt == "always"
        self._told: set[str] = set()

    def token(self, message: Message, *, will: bool = False) -> bytes:
        """Return the token of a message with at most one receiver, such as an answer.

        Raises:
            DataError: It would be too large, or the payload cannot be written.
        """
        receiver = message.target_agents[0] if message.target_agents else ""
        enc = self._encrypted(message, receiver)
        return self._sign(message, enc=enc, will=will)

    def tokens(self, message: Message, receivers: Iterable[str]) -> Iterator[tuple[tuple[str, ...], bytes]]:
        """Yield (receivers, token) until everyone of `receivers` has one.

        Where every payload must be encrypted, a receiver without a key gets none, which is logged once.

        Raises:
            DataError: A token would be too large, or the payload cannot be written.
        """
        plain = []
        for receiver in receivers:
            enc = self._encrypted(message, receiver)
            if enc is not None:
                yield (receiver,), self._sign(message.model_copy(update={"target_agents": [receiver]}), enc=enc)
            elif not self._always or message.message_type not in _CONFIDENTIAL:
                plain.append(receiver)
            elif receiver not in self._told:
                self._told.add(receiver)
                log.error("encryption_key_missing", agent=receiver, message_id=message.message_id)
        if plain:
            yield tuple(plain), self._sign(message.model_copy(update={"target_agents": plain}))

    def _encrypted(self, message: Message, receiver: str) -> str | None:
        if self._cipher is None or message.message_type not in _CONFIDENTIAL:
            return None
        return self._cipher.encrypt(message, receiver)

    def _sign(self, message: Message, *, enc: str | None = None, will: bool = False) -> bytes:
        key = self._key.current()
        return sign(message, key, self._site, now=self._clock.now(), will=will, enc=enc).encode()


class SendingRules:
    """What the platform does not even accept for sending, because its receivers would refuse it."""

    def __init__(self, role: str, permissions: Permissions, keys: PublicKeys, encrypt: EncryptPayloads) -> None:
        """Check for a sender of `role`."""
        self.role = role
        self._permissions = permissions
        self._cipher = PayloadCipher(keys)
        self._encrypt = encrypt

    def refuse(self, message: Message) -> None:
        """Refuse a message that may not, or cannot, be sent.

        Raises:
            DataError: The permissions forbid it, a target has no key to encrypt to, or it would be too large encrypted.
        """
        self._permissions.refuse_sending(message, self.role)
        if self._encrypt == "never" or message.message_type not in _CONFIDENTIAL:
            return
        without = [agent for agent in message.target_agents if not self._cipher.can_encrypt_to(agent)]
        if self._encrypt == "always" and without:
            raise DataError(
                f"{message.message_type} {message.message_id}: {len(without)} targets have no key to encrypt to, among "
                f"them {without[0]}, and agents.encrypt_payloads is always; make them with `gl agents keys FOLDER "
                "--encryption`, or say where_possible"
            )
        if len(without) < len(message.target_agents):
            _refuse_too_large(message)


def _refuse_too_large(message: Message) -> None:
    # base64 of the payload, and that again as part of the claims; room for both headers, identity and signature
    payload = len(message.model_dump_json(include={"payload"}).encode())
    rest = len(message.model_dump_json(exclude={"payload"}).encode())
    size = (payload * 4 // 3 + rest) * 4 // 3 + 2048
    if size > LARGEST_TOKEN:
        raise DataError(
            f"{message.message_type} {message.message_id}: its token would have about {size} bytes encrypted, "
            f"{LARGEST_TOKEN} are allowed; send a reference to the data in its place"
        )
