from __future__ import annotations

import asyncio

import numpy as np
import pytest

from resources.core.clock import ManualClock
from resources.core.errors import UnreachableError
from resources.scada.connector import Emit, Exchange, Health, SourceFacts, StatusSink
from sensors.collector.connection_health.sampler import Sampler
from sensors.collector.state import SourceState
from tests.unit.sensors.collector.bench import NOON

SLOT_S = 0.05


class Peer:
    """A source that nobody can ask."""

    kind = "peer"

    def __init__(self, name: str, clock: ManualClock) -> None:
        self.name, self.clock = name, clock

    async def run(self, emit: Emit, status: StatusSink) -> None:
        raise NotImplementedError

    async def probe(self) -> SourceFacts:
        raise NotImplementedError


class Answering(Peer):
    """One that answers after a quarter of a second."""

    async def check_health(self) -> Health:
        self.clock.advance(0.25)
        return Health()


class Hanging(Peer):
    """One that takes the question and says nothing."""

    async def check_health(self) -> Health:
        await asyncio.Event().wait()
        return Health()


class Broken(Peer):
    """One whose connection breaks when it is asked."""

    async def check_health(self) -> Health:
        raise UnreachableError("source broken: gone; check it", source="broken")


class Polled(Peer):
    """One that tells of its own requests."""

    last: Exchange | None = Exchange(0.03, 2.0, 0)

    def last_exchange(self) -> Exchange | None:
        return self.last


def sampler(clock: ManualClock, *peers: Peer, connected: bool = True) -> tuple[Sampler, list[SourceState]]:
    states = [SourceState(peer.name, peer.kind, clock.monotonic()) for peer in peers]
    if connected:
        for state in states:
            state.went_up(clock.monotonic(), {})
    return Sampler(peers, states, [10.0] * len(peers), clock), states


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


async def test_sampler_when_peers_answer_in_their_ways_then_each_ones_answer_time(clock: ManualClock) -> None:
    peers = (Answering("a", clock), Hanging("h", clock), Broken("b", clock), Polled("p", clock), Peer("n", clock))
    sampling, _ = sampler(clock, *peers)
    slot = await sampling.sample(SLOT_S)
    np.testing.assert_allclose(slot.latency_s[0], [0.25, 10.0, np.nan, 0.03, np.nan])
    assert sampling.limit_s.tolist() == [10.0, 10.0, 10.0, 2.0, 10.0]
    assert not slot.retried.any()
    assert not slot.unread_s.any()
    assert slot.times[0] == clock.now().timestamp()


async def test_sampler_when_a_source_is_away_then_it_is_not_asked_and_the_time_counts(clock: ManualClock) -> None:
    sampling, (state,) = sampler(clock, Answering("a", clock), connected=False)
    clock.advance(4.0)
    state.failed("unreachable", "refused")
    slot = await sampling.sample(SLOT_S)
    assert np.isnan(slot.latency_s[0, 0])
    assert (slot.down_s[0, 0], slot.unread_s[0, 0], bool(slot.retried[0, 0])) == (4.0, 4.0, True)
    state.went_up(clock.monotonic(), {})
    slot = await sampling.sample(SLOT_S)
    assert (slot.down_s[0, 0], bool(slot.retried[0, 0])) == (0.0, False)


async def test_sampler_when_requests_are_repeated_or_stretches_missed_then_both_are_seen(clock: ManualClock) -> None:
    peer = Polled("p", clock)
    sampling, (state,) = sampler(clock, peer)
    await sampling.sample(SLOT_S)
    peer.last, state.missed_s = Exchange(2.0, 2.0, 1), 3.0
    clock.advance(10.0)
    slot = await sampling.sample(SLOT_S)
    assert (slot.latency_s[0, 0], bool(slot.retried[0, 0]), slot.unread_s[0, 0], slot.down_s[0, 0]) == (2.0, True, 3, 0)
    # a new connection counts from nothing
    peer.last = None
    slot = await sampling.sample(SLOT_S)
    assert not slot.retried[0, 0]


async def test_sampler_when_cancelled_then_no_question_stays_behind(clock: ManualClock) -> None:
    sampling, _ = sampler(clock, Hanging("h", clock))
    before = asyncio.all_tasks()
    running = asyncio.create_task(sampling.sample(60.0))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == before
