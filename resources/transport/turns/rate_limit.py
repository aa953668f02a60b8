"""In which turn, and how often, requests go to an endpoint: a token bucket, lanes that take turns, a shared back-off.

Pure: time is handed in, and who keeps a `Gate` (`turnstile.py`) decides how it is shared. Libraries that limit rates
(pyrate-limiter, limits, aiolimiter) were looked at: they count, but whoever asks first goes first, so one dataset with
many requests would starve the others, and none knows the pause that a server asked all of us to make. Both need the
tokens, the queue and the pause to be judged in one step.
Source: token bucket; start-time fair queueing (Goyal, Vin, Cheng 1996) with one request as the unit of work; additive
increase and multiplicative decrease (RFC 5681, 3.1) for a server that says it is asked too much.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

WAITER_LIVES_S = 5.0
"""Whoever waits asks again within a second; one not heard of for so long has died, and its place is given away."""

LONGEST_PAUSE_S = 3600.0
"""No pause is believed beyond this."""

_FIRST_PAUSE_S = 1.0
_LONGEST_OWN_PAUSE_S = 30.0
_LEAST_SHARE = 1 / 16
_FORGIVEN_S = 600.0
"""A server that was left alone for so long is met as if it had never asked for a pause."""

_SHARE_REGAINED = 0.05
"""So much of the configured rate comes back with each request that is answered."""


@dataclass(slots=True)
class Waiter:
    """A request that waits for its turn."""

    ticket: str
    lane: str
    seen_at: float


@dataclass(slots=True)
class Gate:
    """The state of one endpoint; times are seconds of a monotonic clock."""

    tokens: float = 0.0
    at: float | None = None
    """When `tokens` was right; None before the first request."""
    share: float = 1.0
    """Share of the configured rate in use: it halves when the server asks for a pause."""
    held_until: float = 0.0
    """No request goes before this."""
    throttled: int = 0
    """Pauses asked for since the last answer."""
    turn: float = 0.0
    """Virtual time: the start of the request served last."""
    served: dict[str, float] = field(default_factory=dict)
    """Lane -> virtual time at which its next request may start."""
    waiting: list[Waiter] = field(default_factory=list)
    """In the order of arrival."""

    def enter(self, ticket: str, lane: str, now: float, per_minute: int | None) -> float:
        """Return 0 if the request `ticket` may go now, else how long to wait before asking again."""
        if self.at is not None and now - max(self.at, self.held_until) > _FORGIVEN_S:
            self.share, self.throttled = 1.0, 0
        if per_minute is None:
            # nobody waits for a turn, so there is nothing to keep but a pause
            return self.held_s(now)
        self._refill(now, per_minute)
        self._queue(ticket, lane, now)
        if self.held_s(now):
            return self.held_s(now)
        rank = self._rank(ticket)
        if rank == 0 and self.tokens >= 1:
            self.tokens -= 1
            self._take(ticket, lane)
            return 0.0
        return max(0.005, (rank + 1 - self.tokens) / (_refill_per_s(per_minute) * self.share))

    def leave(self, ticket: str) -> None:
        """Forget a request that waits no longer."""
        self.waiting = [waiter for waiter in self.waiting if waiter.ticket != ticket]

    def pause(self, now: float, asked_s: float | None) -> float:
        """Hold every request for as long as the server asked, or for longer each time if it did not say.

        Returns:
            The seconds from now.
        """
        if not self.held_s(now):  # several requests are refused at once: that is one sign, not many
            self.throttled += 1
            self.share = max(_LEAST_SHARE, self.share / 2)
        own = min(_LONGEST_OWN_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self.throttled - 1, 10))
        pause = min(asked_s if asked_s is not None else own, LONGEST_PAUSE_S)
        self.held_until = now + max(self.held_s(now), pause)
        self.at = now
        self.tokens = 1.0  # one request tries how it is, as soon as the pause is over
        return self.held_until - now

    def held_s(self, now: float) -> float:
        """Return for how long yet no request goes; what was kept before the machine was started anew is void."""
        return max(0.0, self.held_until - now) if self.at is not None and self.at <= now else 0.0

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to regain."""
        return self.share >= 1.0 and not self.throttled

    def answered(self) -> None:
        """Note that the server serves us: take back some of the rate."""
        self.throttled = 0
        self.share = min(1.0, self.share + _SHARE_REGAINED)

    def _refill(self, now: float, per_minute: int) -> None:
        if self.at is None or self.at > now:  # the first request, or the machine was started anew
            self.tokens, self.held_until, self.waiting = float(_burst(per_minute)), 0.0, []
        else:
            # nothing is saved up while all are held: the server is met by a trickle afterwards
            since = min(now, max(self.at, self.held_until))
            gained = (now - since) * _refill_per_s(per_minute) * self.share
            self.tokens = min(float(_burst(per_minute)), self.tokens + gained)
        self.at = now

    def _queue(self, ticket: str, lane: str, now: float) -> None:
        self.waiting = [w for w in self.waiting if now - w.seen_at < WAITER_LIVES_S or w.ticket == ticket]
        for waiter in self.waiting:
            if waiter.ticket == ticket:
                waiter.seen_at = now
                return
        self.waiting.append(Waiter(ticket, lane, now))

    def _rank(self, ticket: str) -> int:
        """Return how many go before: each lane in turn, within a lane in the order of arrival."""
        starts: dict[str, float] = {}
        order: list[tuple[float, int, str]] = []
        for number, waiter in enumerate(self.waiting):
            start = starts.get(waiter.lane, max(self.turn, self.served.get(waiter.lane, 0.0)))
            order.append((start, number, waiter.ticket))
            starts[waiter.lane] = start + 1
        return [name for _, _, name in sorted(order)].index(ticket)

    def _take(self, ticket: str, lane: str) -> None:
        self.leave(ticket)
        self.turn = max(self.turn, self.served.get(lane, 0.0))
        self.served = {name: start for name, start in self.served.items() if start > self.turn}
        self.served[lane] = self.turn + 1

    def dumped(self) -> dict[str, Any]:
        """Return the state as JSON holds it."""
        return {
            "tokens": self.tokens,
            "at": self.at,
            "share": self.share,
            "held_until": self.held_until,
            "throttled": self.throttled,
            "turn": self.turn,
            "served": self.served,
            "waiting": [[waiter.ticket, waiter.lane, waiter.seen_at] for waiter in self.waiting],
        }

    @classmethod
    def loaded(cls, held: dict[str, Any]) -> Gate:
        """Return the state that `dumped` gave.

        Raises:
            TypeError: It is none.
        """
        return cls(**{**held, "waiting": [Waiter(*waiter) for waiter in held["waiting"]]})


def _burst(per_minute: int) -> int:
    """Return how many requests may follow each other at once after a quiet time."""
    return max(1, min(20, per_minute // 5))


def _refill_per_s(per_minute: int) -> float:
    # burst and refill together never pass the limit, whichever minute is looked at
    return (per_minute - _burst(per_minute) + 1) / 60
