from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from resources.core.clock import ManualClock
from resources.scada.connector import Address
from resources.scada.endpoints import (
    FAILURE_REMEMBERED_S,
    LEVEL_REMEMBERED_S,
    EndpointChoice,
    EndpointLoads,
    parse_address,
)

A, B, C = Address("a", 4840), Address("b", 4840), Address("c", 4840)


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 11, 22, tzinfo=UTC))
        self.loads = EndpointLoads()

    def choice(self, addresses: Sequence[Address] = (A, B), limit: int | None = None) -> EndpointChoice:
        return EndpointChoice(addresses, self.loads, self.clock.monotonic, limit)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("plc.example:502", Address("plc.example", 502)),
        ("[::1]:8883", Address("::1", 8883)),
        ("opc.tcp://server.example:4840/path", Address("server.example", 4840)),
    ],
    ids=["host and port", "ipv6", "url"],
)
def test_address_when_written_in_each_way_then_host_and_port(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["plc.example", "plc.example:x", "plc.example:70000", ":502", "", "opc.tcp://host/x"])
def test_address_when_host_or_port_is_missing_then_the_message_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        parse_address(text)


def test_pick_when_all_are_alike_then_the_first() -> None:
    assert Bench().choice().pick() == 0


async def test_pick_when_sources_share_addresses_then_they_are_spread_evenly() -> None:
    bench = Bench()
    taken = [await bench.choice((A, B, C)).take() for _ in range(9)]
    assert [taken.count(position) for position in range(3)] == [3, 3, 3]


def test_pick_when_one_has_failed_then_another_until_it_is_forgotten() -> None:
    bench = Bench()
    choice = bench.choice()
    choice.failed(0)
    assert choice.pick() == 1
    bench.clock.advance(FAILURE_REMEMBERED_S)
    assert choice.pick() == 0


def test_pick_when_a_failed_one_takes_connections_again_then_it_counts_again() -> None:
    choice = Bench().choice()
    choice.failed(0)
    choice.worked(0)
    assert choice.pick() == 0


def test_pick_when_all_have_failed_then_they_are_tried_in_turn() -> None:
    bench = Bench()
    choice, tried = bench.choice((A, B, C)), []
    for _ in range(6):
        position = choice.pick()
        assert position is not None
        tried.append(position)
        bench.clock.advance(1.0)
        choice.failed(position)
    assert tried == [0, 1, 2, 0, 1, 2]
    assert not choice.untried()


def test_pick_when_one_told_a_low_service_level_then_the_healthy_one() -> None:
    choice = Bench().choice()
    choice.told_level(0, 100)
    assert choice.pick() == 1


def test_pick_when_both_are_healthy_then_the_number_does_not_matter() -> None:
    choice = Bench().choice()
    choice.told_level(0, 201)
    choice.told_level(1, 255)
    assert choice.pick() == 0


def test_better_when_the_server_in_use_is_healthy_then_none() -> None:
    choice = Bench().choice()
    choice.told_level(0, 200)
    assert choice.better_than(0) is None


def test_better_when_the_other_was_never_asked_then_it_is_worth_a_try() -> None:
    choice = Bench().choice()
    choice.told_level(0, 199)
    assert choice.better_than(0) == 1


def test_better_when_the_other_is_worse_then_none_until_what_it_said_is_old() -> None:
    bench = Bench()
    choice = bench.choice()
    choice.told_level(1, 50)
    choice.told_level(0, 100)
    assert choice.better_than(0) is None
    bench.clock.advance(LEVEL_REMEMBERED_S)
    choice.told_level(0, 100)
    assert choice.better_than(0) == 1


def test_better_when_the_other_has_failed_lately_then_none() -> None:
    choice = Bench().choice()
    choice.failed(1)
    choice.told_level(0, 0)
    assert choice.better_than(0) is None


def test_better_when_there_is_no_other_then_none() -> None:
    choice = Bench().choice((A,))
    choice.told_level(0, 0)
    assert choice.better_than(0) is None


async def test_take_when_a_gateway_allows_two_connections_then_the_third_source_waits_for_one() -> None:
    bench = Bench()
    sources = [bench.choice((A,), limit=2) for _ in range(3)]
    first = [await source.take() for source in sources[:2]]
    assert sources[2].pick() is None
    waiting = asyncio.create_task(sources[2].take())
    await asyncio.sleep(0)
    assert not waiting.done()
    await sources[0].give_back(first[0])
    assert await asyncio.wait_for(waiting, 30) == 0
    assert bench.loads.of(A) == 2


async def test_take_when_two_gateways_allow_two_each_then_four_sources_are_shared_out() -> None:
    bench = Bench()
    taken = [await bench.choice((A, B), limit=2).take() for _ in range(4)]
    assert sorted(taken) == [0, 0, 1, 1]
    assert bench.choice((A, B), limit=2).pick() is None
