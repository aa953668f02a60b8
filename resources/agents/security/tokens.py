"""Signed tokens: a message as a JWT (JWS compact, EdDSA with Ed25519), both ways.

Only this module touches signatures. The algorithm is fixed, the key comes from the key file by `kid` alone, and nothing
a header says can change either. Source: RFC 7515, RFC 7519, RFC 8037, RFC 8725 (best practices).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import Any

import orjson
import rfc8785
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from pydantic import ValidationError

from resources.agents.security.encryption import PayloadCipher
from resources.agents.security.keys import PrivateKey, PublicKey, PublicKeys
from resources.agents.wire.message import LONGEST_TIMEOUT_S, Message
from resources.agents.wire.refusals import RefusedError
from resources.agents.wire.strict_json import StrictJsonError, loads
from resources.core.errors import DataError

LARGEST_TOKEN = 256 * 1024
"""Largest token in bytes."""

LIFETIME_S = 300
"""A token expires this long after it was issued, or at the message's deadline if that is earlier."""

WILL_LIFETIME_S = LONGEST_TIMEOUT_S
"""A last will is published whenever the connection breaks, so it lives as long as a session."""

ALGORITHM = "EdDSA"

_COMPACT = re.compile(rb"[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+")
_USUAL_HEADER = 256
"""Longer headers are not remembered: what strangers send must not fill the memory."""

_USUAL_TOKEN = 16 * 1024
_MOST_VERIFIED = 64
"""How many tokens, and of which size, are known to be verified: a megabyte at most."""

_READ_DIFFERENTLY = re.compile(rb"\\u|[0-9]{16}")
"""Where orjson may read strict JSON in another way: escaped surrogates, integers that no double holds."""

_FORBIDDEN = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c"})


class _OnlyEdDsa(JWSRegistry):
    """A registry that knows one algorithm, whatever a header asks for."""

    max_payload_length = LARGEST_TOKEN

    def get_alg(self, name: str) -> Any:
        # joserfc warns that the name EdDSA is superseded (RFC 9864); the wire fixes it, and keys are Ed25519 only
        if name != ALGORITHM:
            raise UnsupportedAlgorithmError(f"algorithm is not {ALGORITHM}")
        return self.algorithms[ALGORITHM]


_REGISTRY = _OnlyEdDsa(algorithms=[ALGORITHM])


@dataclass(frozen=True, slots=True)
class Received:
    """A message whose signature and identity hold: who signed it, when, until when, and its content hash."""

    message: Message
    kid: str
    role: str
    issued_at: datetime
    expires_at: datetime
    content_hash: bytes
    encrypted: bool = False
    """Whether the payload came encrypted; here it is plain."""


def audience(site: str) -> str:
    """Return the audience of every token of a site."""
    return f"gl:{site}"


def sign(
    message: Message, key: PrivateKey, site: str, *, now: datetime, will: bool = False, enc: str | None = None
) -> str:
    """Return `message` as a token issued now; a `will` lives for seven days, `enc` stands in place of the payload.

    Raises:
        DataError: The token would be larger than 256 KiB, or the payload has no canonical form.
    """
    issued = math.floor(now.timestamp())
    latest = issued + (WILL_LIFETIME_S if will else LIFETIME_S)
    expires = latest if will else min(latest, math.ceil(message.deadline.timestamp()))
    content = message.to_wire()
    if enc is not None:
        del content["payload"]
        content["enc"] = enc
    claims = {
        "iss": key.agent_id,
        "aud": audience(site),
        "iat": issued,
        "exp": expires,
        "jti": message.message_id,
        "role": key.role,
        "msg": content,
    }
    try:
        body = orjson.dumps(claims)
    except orjson.JSONEncodeError as error:
        raise DataError(f"message {message.message_id}: its payload cannot be written as JSON: {error}") from error
    token = jws.serialize_compact({"alg": ALGORITHM, "kid": key.kid}, body, key.key, registry=_REGISTRY)
    if len(token) > LARGEST_TOKEN:
        raise DataError(
            f"message {message.message_id}: its token has {len(token)} bytes, at most {LARGEST_TOKEN} are allowed"
        )
    return token


def open_token(token: bytes, keys: PublicKeys, site: str, cipher: PayloadCipher | None = None) -> Received:
    """Return what a token says, once its signature and its claims about identity hold.

    Args:
        token: What came.
        keys: Everyone's public keys.
        site: Whose audience it must have.
        cipher: Decrypts a payload that is encrypted; without one such a message is refused.

    Raises:
        RefusedError: Anything about size, form, header, key, signature, claims or message is wrong.
    """
    if len(token) > LARGEST_TOKEN:
        raise RefusedError("too_large", f"token has {len(token)} bytes")
    if not _COMPACT.fullmatch(token):
        raise RefusedError("not_a_token", "not a JWS in compact form")
    key = _key_of(token, keys)
    claims = _claims_of(token, key)
    _check_identity(claims, key, site)
    content, encrypted = _decrypted(claims, key, cipher)
    try:
        message = Message.model_validate(content)
        content_hash = message.content_hash()
    except (ValidationError, rfc8785.CanonicalizationError, RecursionError) as error:
        raise RefusedError("malformed", _faults(error), claimed=key.agent_id) from error
    if message.source_agent != key.agent_id:
        raise RefusedError("wrong_source", "source_agent is not the issuer", claimed=key.agent_id)
    if claims["jti"] != message.message_id:
        raise RefusedError("wrong_id", "jti is not message_id", claimed=key.agent_id)
    issued, expires = _instant(claims, "iat", key), _instant(claims, "exp", key)
    return Received(message, key.kid, key.role, issued, expires, content_hash, encrypted)


def _key_of(token: bytes, keys: PublicKeys) -> PublicKey:
    segment = token.partition(b".")[0]
    # a sender's header is the same in all of its tokens; the key is looked up each time, since it may be revoked
    kid = _kid_of(segment) if len(segment) <= _USUAL_HEADER else _kid_of.__wrapped__(segment)
    key = keys.get(kid)
    if key is None:
        raise RefusedError(
            "unknown_key", "no public key with that kid; it was never there, or it was revoked", claimed=kid
        )
    return key


@lru_cache(maxsize=4096)
def _kid_of(segment: bytes) -> str:
    """Return the kid of a header, in base64, that asks for nothing but what is allowed; faults are not remembered."""
    try:
        header = loads(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except (StrictJsonError, binascii.Error) as error:
        raise RefusedError("bad_header", "the header is not JSON") from error
    if not isinstance(header, dict):
        raise RefusedError("bad_header", "the header is not an object")
    forbidden = _FORBIDDEN & header.keys()
    if forbidden:
        raise RefusedError("forbidden_header", f"the header has {', '.join(sorted(forbidden))}")
    if header.get("alg") != ALGORITHM:
        raise RefusedError("wrong_algorithm", f"alg is not {ALGORITHM}")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise RefusedError("unknown_key", "the header has no kid")
    return kid


def _claims_of(token: bytes, key: PublicKey) -> dict[str, Any]:
    """Return the claims of a token whose signature holds, as objects of the caller's own.

    Raises:
        RefusedError: It does not hold, or the claims are not JSON as the wire allows it.
    """
    body = _verified.body(token, key)
    if body is not None:
        # read anew for each: agents in one process must not see what another does to its arguments
        again: dict[str, Any] = _json(body, key.agent_id) if _READ_DIFFERENTLY.search(body) else orjson.loads(body)
        return again
    try:
        body = jws.deserialize_compact(token, key.key, registry=_REGISTRY).payload
    except (JoseError, ValueError) as error:
        raise RefusedError("bad_signature", "the signature does not hold", claimed=key.agent_id) from error
    claims = _json(body, key.agent_id)
    _verified.keep(token, key, body)
    return claims


class _Verified:
    """The last tokens whose signature held and whose claims are strict JSON: a broadcast's token comes to each agent.

    A token is known by all of its bytes, and by the very key object it was verified with: one that was read anew, or
    revoked, knows nothing.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._bodies: OrderedDict[bytes, tuple[PublicKey, bytes]] = OrderedDict()

    def body(self, token: bytes, key: PublicKey) -> bytes | None:
        with self._lock:
            found = self._bodies.get(token)
        return found[1] if found is not None and found[0] is key else None

    def keep(self, token: bytes, key: PublicKey, body: bytes) -> None:
        if len(token) > _USUAL_TOKEN:
            return
        with self._lock:
            self._bodies[token] = (key, body)
            if len(self._bodies) > _MOST_VERIFIED:
                self._bodies.popitem(last=False)


_verified = _Verified()


def _json(body: bytes, claimed: str) -> dict[str, Any]:
    try:
        claims = loads(body)
    except StrictJsonError as error:
        raise RefusedError("malformed", f"the claims: {error}", claimed=claimed) from error
    if not isinstance(claims, dict):
        raise RefusedError("malformed", "the claims are not an object", claimed=claimed)
    return claims


def _check_identity(claims: dict[str, Any], key: PublicKey, site: str) -> None:
    if claims.get("iss") != key.agent_id:
        raise RefusedError("wrong_issuer", "iss does not own the key that signed", claimed=key.agent_id)
    if claims.get("role") != key.role:
        raise RefusedError("wrong_role", "role is not the role of the key", claimed=key.agent_id)
    if claims.get("aud") != audience(site):
        raise RefusedError("wrong_audience", f"aud is not {audience(site)}", claimed=key.agent_id)
    if not isinstance(claims.get("jti"), str):
        raise RefusedError("wrong_id", "there is no jti", claimed=key.agent_id)


def _decrypted(claims: dict[str, Any], key: PublicKey, cipher: PayloadCipher | None) -> tuple[Any, bool]:
    content = claims.get("msg")
    if not isinstance(content, dict) or "enc" not in content:
        return content, False
    if "payload" in content:
        raise RefusedError("malformed", "msg has both payload and enc", claimed=key.agent_id)
    try:
        if cipher is None:
            raise RefusedError("undecryptable", "enc cannot be read here: there is no key for it", claimed=key.agent_id)
        payload = cipher.decrypt(content["enc"], issuer=key.agent_id, message_id=content.get("message_id"))
    except RefusedError as refused:
        refused.sealed_for = _only_target(content)
        raise
    return {**content, "payload": payload}, True


def _only_target(content: dict[str, Any]) -> str:
    targets = content.get("target_agents")
    return targets[0] if isinstance(targets, list) and len(targets) == 1 and isinstance(targets[0], str) else ""


def _instant(claims: dict[str, Any], name: str, key: PublicKey) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**33:
        raise RefusedError("malformed", f"{name} is not a time", claimed=key.agent_id)
    return datetime.fromtimestamp(value, UTC)


def _faults(error: Exception) -> str:
    if isinstance(error, ValidationError):
        # where and what kind, never the value: a payload must not reach the log
        return "; ".join(f"msg.{'.'.join(map(str, f['loc']))}: {f['type']}" for f in error.errors()[:5])
    return "the payload has no canonical form"
