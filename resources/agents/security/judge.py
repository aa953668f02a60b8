"""Who, once, time: the three questions every received message has to pass, in this order.

- who: signature, identity, topic and role (`Judge.who`);
- once: was this id seen, and with the same content (`seen` given to `Judge.verdict`);
- time: is it still, or already, valid (`Judge.verdict`).

The judge keeps no ids itself: an agent keeps them in its `SeenStore`, the platform in the database.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from enum import Enum
from threading import Lock

from pydantic import ValidationError

from resources.agents.security.encryption import PayloadCipher
from resources.agents.security.keys import PublicKeys
from resources.agents.security.tokens import LIFETIME_S, WILL_LIFETIME_S, Received, open_token
from resources.agents.wire.message import Message, ResponsePayload
from resources.agents.wire.permissions import Permissions
from resources.agents.wire.refusals import RefusedError, judging, refused
from resources.agents.wire.topics import misfit, parse_topic
from resources.core.clock import Clock

SKEW = timedelta(seconds=30)
"""How far two clocks may differ."""

_ROUNDING = timedelta(seconds=1)


class Verdict(Enum):
    """What is to be done with a message that was not refused."""

    NEW = "new"
    """Never seen and in time: act on it."""
    REPEATED = "repeated"
    """Seen with the same content: do not act, send the stored answer again if there is one."""
    EXPIRED = "expired"
    """Never seen and too late: do not act, do not keep the id, say so."""


class Judge:
    """Judges what one receiver at one site gets; safe from any thread."""

    def __init__(
        self,
        keys: PublicKeys,
        site: str,
        clock: Clock,
        *,
        permissions: Permissions | None = None,
        cipher: PayloadCipher | None = None,
    ) -> None:
        """Judge by these public keys and this clock; by the wire's own rules alone without `permissions`."""
        self._keys = keys
        self._site = site
        self._clock = clock
        self._permissions = permissions or Permissions()
        self._cipher = cipher
        self._verdicts: Counter[str] = Counter()
        self._lock = Lock()

    def who(self, token: bytes, topic: str) -> Received:
        """Return the message of a token that came on `topic`, once it is clear who sent it and that they may.

        Raises:
            RefusedError: It is not; nothing else is raised.
        """
        with judging():
            return self._who(token, topic)

    def _who(self, token: bytes, topic: str) -> Received:
        place = parse_topic(topic)
        if place is None or place.site != self._site:
            raise RefusedError("wrong_topic", "not a topic of this site's agents")
        received = open_token(token, self._keys, self._site, self._cipher)
        reason = misfit(place, received.message, received.role)
        if reason is not None:
            detail = f"a {received.message.message_type} of role {received.role} must not come on this topic"
            raise refused(reason, detail, received.message)
        self._permissions.refuse_received(received.message, received.role)
        return received

    def verdict(self, received: Received, seen: bytes | None) -> Verdict:
        """Return what to do with `received`, given the content hash kept under its id (None: never seen).

        Raises:
            RefusedError: The id was used for other content, or the token's times break the rules; nothing else is
                raised.
        """
        with judging():
            found = self._decide(received, seen)
        with self._lock:
            self._verdicts[found.value] += 1
        return found

    def role_of(self, agent_id: str) -> str | None:
        """Return the role of an agent's keys, None if it has none."""
        return self._keys.role_of(agent_id)

    def verdicts(self) -> dict[str, int]:
        """Return verdict -> how many messages got it so far; the refused ones are counted where they are audited."""
        with self._lock:
            return dict(self._verdicts)

    def _decide(self, received: Received, seen: bytes | None) -> Verdict:
        if seen is not None:
            if seen != received.content_hash:
                raise refused("forged_repeat", "this id was used before for other content", received.message)
            return Verdict.REPEATED
        now = self._clock.now()
        self._refuse_wrong_times(received, now)
        return Verdict.EXPIRED if now > received.expires_at + SKEW else Verdict.NEW

    def _refuse_wrong_times(self, received: Received, now: datetime) -> None:
        message = received.message
        if received.issued_at > now + SKEW:
            raise refused(
                "issued_in_future", "iat is ahead of this clock by more than 30 s: check both clocks", message
            )
        if message.sent_at > received.issued_at + SKEW:
            raise refused("timestamp_after_issue", "timestamp is later than iat by more than 30 s", message)
        lifetime = WILL_LIFETIME_S if is_offline(message) else LIFETIME_S
        latest = received.issued_at + timedelta(seconds=lifetime)
        if not is_offline(message):
            latest = min(latest, message.deadline)
        if received.expires_at > latest + _ROUNDING:
            raise refused("expires_too_late", "exp is later than the deadline or than iat allows", message)


def is_offline(message: Message) -> bool:
    """Return whether a message is the heartbeat that says goodbye: the last will, or a clean leave."""
    return (
        message.message_type == "heartbeat"
        and isinstance(message.payload, dict)
        and message.payload.get("status") == "offline"
    )


def response_of(message: Message) -> ResponsePayload:
    """Return what a response says.

    Raises:
        RefusedError: Its payload is not of the fixed form.
    """
    try:
        return ResponsePayload.model_validate(message.payload)
    except ValidationError as error:
        raise refused("malformed", "the response's payload is not of the fixed form", message) from error
