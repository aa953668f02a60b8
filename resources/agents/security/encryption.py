"""Encrypted payloads: `msg.enc` in place of `payload`, a JWE in compact form that only one receiver can open.

Signed outside, encrypted inside: the token's signature covers `enc`, and the JWE names the sender and the message it
was made for (`iss`, `jti`), so that nobody can sign another's ciphertext as his own. The content hash is that of the
plain payload: a payload encrypted anew is the same message. Algorithms are fixed: ECDH-ES with X25519, A256GCM.
Source: RFC 7516 (JWE), RFC 7518 section 4.6 (ECDH-ES), RFC 7519 section 5.3 (claims as header parameters), RFC 8037.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog
from joserfc import jwe
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from resources.agents.security.keys import PublicKeys, load_encryption_keys
from resources.agents.security.watched_file import WatchedFile
from resources.agents.wire.message import Message
from resources.agents.wire.refusals import RefusedError
from resources.agents.wire.strict_json import StrictJsonError, loads
from resources.core.errors import DataError

log = structlog.get_logger(__name__)

KEY_AGREEMENT, CONTENT_ENCRYPTION = "ECDH-ES", "A256GCM"
"""The only algorithms."""

LARGEST_ENCRYPTED = 256 * 1024
"""Largest `enc` in bytes: a token is no larger."""

EncryptPayloads = Literal["never", "where_possible", "always"]
"""Whether commands and queries are encrypted: not at all, to agents that have a key for it, or to every agent."""

_HEADER = frozenset({"alg", "enc", "kid", "iss", "jti", "epk"})


class _OneWay(jwe.JWERegistry):
    """A registry that knows one key agreement and one cipher, and no compression."""

    max_ciphertext_length = LARGEST_ENCRYPTED


_REGISTRY = _OneWay(
    header_registry={"iss": HeaderParameter("Issuer", "str"), "jti": HeaderParameter("JWT ID", "str")},
    algorithms=[KEY_AGREEMENT, CONTENT_ENCRYPTION],
)


class PayloadCipher:
    """Encrypts payloads for others and decrypts those for one agent; safe from any thread."""

    def __init__(self, keys: PublicKeys, own: WatchedFile[dict[str, OKPKey]] | None = None) -> None:
        """Encrypt to the keys of the JWKS file, decrypt with `own` (kid -> private key); with nothing if absent."""
        self._keys = keys
        self._own = own

    @classmethod
    def of(cls, agent_id: str, private_keys: Path | None, keys: PublicKeys) -> PayloadCipher:
        """Return the cipher of an agent whose private keys lie in `private_keys` (None: it decrypts nothing).

        Raises:
            ConfigError: The file is missing, readable by others, or holds other keys.
        """
        if private_keys is None:
            return cls(keys)
        load = partial(load_encryption_keys, agent_id=agent_id)
        return cls(keys, WatchedFile(private_keys, load, unreadable="private_key_unreadable"))

    @property
    def can_decrypt(self) -> bool:
        """Whether there is a private key to decrypt with."""
        return self._own is not None

    def can_encrypt_to(self, agent_id: str) -> bool:
        """Return whether an agent has published a key to encrypt to."""
        return self._keys.encryption_key_of(agent_id) is not None

    def encrypt(self, message: Message, receiver: str) -> str | None:
        """Return the payload of `message` for one receiver as a JWE; None if that one has no key to encrypt to.

        Raises:
            DataError: The payload cannot be written as JSON.
        """
        key = self._keys.encryption_key_of(receiver)
        if key is None:
            return None
        header = {
            "alg": KEY_AGREEMENT,
            "enc": CONTENT_ENCRYPTION,
            "kid": key.kid,
            "iss": message.source_agent,
            "jti": message.message_id,
        }
        try:
            plain = orjson.dumps(message.payload)
        except orjson.JSONEncodeError as error:
            raise DataError(f"message {message.message_id}: its payload cannot be written as JSON: {error}") from error
        return jwe.encrypt_compact(header, plain, key.key, registry=_REGISTRY)

    def decrypt(self, enc: object, *, issuer: str, message_id: object) -> Any:
        """Return the payload in `enc`, which came in a token of `issuer` with that message_id.

        Raises:
            RefusedError: It is not for this agent, not made by the issuer for this message, altered, or not JSON.
        """
        if not isinstance(enc, str) or len(enc) > LARGEST_ENCRYPTED:
            raise RefusedError("undecryptable", "enc is not a JWE in compact form", claimed=issuer)
        header = _header_of(enc, issuer)
        if header.get("iss") != issuer or header.get("jti") != message_id:
            raise RefusedError("undecryptable", "enc was made by another, or for another message", claimed=issuer)
        kid = header.get("kid")
        key = self._private_key(kid) if isinstance(kid, str) else None
        if key is None:
            raise RefusedError("undecryptable", "enc is not for a key of this agent", claimed=issuer)
        try:
            found = jwe.decrypt_compact(enc, key, registry=_REGISTRY)
            return loads(found.plaintext or b"")
        except Exception as error:
            # whatever the library raises at what a stranger has altered, among others KeyError, is a refusal
            raise RefusedError("undecryptable", "enc cannot be decrypted, or is not JSON", claimed=issuer) from error

    def _private_key(self, kid: str) -> OKPKey | None:
        """Return the key of a kid; the file is read again for an unknown one if it was replaced."""
        if self._own is None:
            return None
        if kid not in self._own.content:
            self._own.look()
        return self._own.content.get(kid)


def _header_of(enc: str, issuer: str) -> dict[str, Any]:
    segment = enc.partition(".")[0].encode("ascii", "replace")
    try:
        header = loads(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except (StrictJsonError, binascii.Error) as error:
        raise RefusedError("undecryptable", "the header of enc is not JSON", claimed=issuer) from error
    # exactly these: no compression (a small token would unpack to gigabytes), no key or address in the message
    if not isinstance(header, dict) or header.keys() != _HEADER:
        raise RefusedError("undecryptable", "the header of enc has other members than it must", claimed=issuer)
    if (header["alg"], header["enc"]) != (KEY_AGREEMENT, CONTENT_ENCRYPTION):
        raise RefusedError("undecryptable", f"enc is not {KEY_AGREEMENT} with {CONTENT_ENCRYPTION}", claimed=issuer)
    return header
