from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from resources.core.clock import ManualClock
from resources.core.errors import AuthError, ConfigError, ProtocolError, ThrottledError, UnreachableError
from resources.core.readings import ReadingBatch, readings_batch
from resources.scada.config import CircuitBreakerConfig, SourceOptions
from resources.scada.connector import Emit, StatusSink
from sensors.collector.state import SourceState
from sensors.collector.supervision.backoff import Backoff
from sensors.collector.supervision.supervisor import SourceSupervisor, Surroundings

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class NoJitter(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return a


class Impatient(Backoff):
    """Asks the real back-off, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__(NoJitter())
        self.pauses: list[float] = []
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1
        super().reset()

    def pause_after(self, error: Exception) -> float:
        self.pauses.append(super().pause_after(error))
        return 0.0


class Notebook:
    """A port that writes down what it is given."""

    def __init__(self) -> None:
        self.batches: list[ReadingBatch] = []
        self.notes: list[tuple[object, ...]] = []

    async def emit(self, batch: ReadingBatch) -> None:
        self.batches.append(batch)

    def open_gap(self, source: str, since: datetime, reason: str) -> None:
        self.notes.append(("open", source, since, reason))

    def close_gap(self, source: str, until: datetime) -> None:
        self.notes.append(("close", source, until))

    def add_gap(self, source: str, since: datetime, until: datetime, reason: str) -> None:
        self.notes.append(("gap", source, since, until, reason))

    def add_counts(self, source: str, increments: Mapping[str, int]) -> None:
        self.notes.append(("counts", source, dict(increments)))


Step = Callable[[Emit, StatusSink], None] | Exception


class ScriptedSource:
    """A peer that does one step a connection, and stays connected after the last."""

    name, kind = "boilers", "modbus"

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.idle = asyncio.Event()

    async def run(self, emit: Emit, status: StatusSink) -> None:
        if self._steps:
            step = self._steps.pop(0)
            if isinstance(step, Exception):
                raise step
            step(emit, status)
            await emit(ReadingBatch("boilers", readings=readings_batch([1], [0], [1.0], 0, 1)))
        if not self._steps:
            self.idle.set()
            await asyncio.Event().wait()


class Bench:
    def __init__(self, *steps: Step) -> None:
        self.clock = ManualClock(NOON)
        self.port = Notebook()
        self.source = ScriptedSource(*steps)
        self.backoff = Impatient()
        self.state = SourceState("boilers", "modbus", self.clock.monotonic())
        self.supervisor = SourceSupervisor(
            self.source,
            self.port,
            self.state,
            clock=self.clock,
            options=SourceOptions(circuit_breaker=CircuitBreakerConfig(failures=100)),
            around=Surroundings(backoff=lambda: self.backoff),
        )
        self.events: list[EventDict] = []

    @asynccontextmanager
    async def ran(self) -> AsyncIterator[None]:
        with capture_logs() as self.events:
            task = asyncio.create_task(self.supervisor.run())
            await asyncio.wait_for(self.source.idle.wait(), 30)
            yield
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def logged(self, *names: str) -> list[EventDict]:
        return [event for event in self.events if event["event"] in names]


def up_after(bench_seconds: float) -> Callable[[Bench], Step]:
    def make(bench: Bench) -> Step:
        def step(_: Emit, status: StatusSink) -> None:
            bench.clock.advance(bench_seconds)
            status.connected({"endpoint": "10.0.0.5:502", "security": "plain"})

        return step

    return make


async def test_source_when_it_cannot_be_reached_then_one_line_for_the_loss_and_one_for_the_recovery() -> None:
    bench = Bench(*[UnreachableError(f"no reply ({n}); check cabling", source="boilers") for n in range(7)])
    bench.source._steps.append(up_after(30.0)(bench))
    async with bench.ran():
        lost, recovered = bench.logged("source_lost"), bench.logged("source_recovered")
        assert [e["error"] for e in lost] == ["no reply (0); check cabling"]
        assert [(e["outage_s"], e["attempts"]) for e in recovered] == [(30.0, 7)]
        assert [e["log_level"] for e in bench.logged("source_still_lost")] == ["debug"] * 6
        assert bench.state.failures == {"unreachable": 7}


async def test_source_when_lost_then_a_gap_from_the_last_good_instant_to_the_recovery() -> None:
    bench = Bench()

    def first(_: Emit, status: StatusSink) -> None:
        bench.clock.advance(10)
        status.connected({})
        bench.clock.advance(5)

    def second(_: Emit, status: StatusSink) -> None:
        bench.clock.advance(60)
        status.connected({})

    bench.source._steps = [first, UnreachableError("connection reset"), second]
    async with bench.ran():
        gaps = [note for note in bench.port.notes if note[0] in ("open", "close")]
        assert gaps[0] == ("open", "boilers", NOON, "the first connection took this long")
        assert gaps[1] == ("close", "boilers", NOON + timedelta(seconds=10))
        assert gaps[2][:3] == ("open", "boilers", NOON + timedelta(seconds=15))
        assert gaps[3] == ("close", "boilers", NOON + timedelta(seconds=75))
        assert len(bench.port.batches) == 2


async def test_source_when_the_peer_has_kept_everything_then_the_outage_is_no_gap() -> None:
    bench = Bench()

    def first(_: Emit, status: StatusSink) -> None:
        status.connected({})
        bench.clock.advance(5)

    def second(_: Emit, status: StatusSink) -> None:
        bench.clock.advance(60)
        status.connected({}, unbroken=True)

    bench.source._steps = [first, UnreachableError("connection reset"), second]
    async with bench.ran():
        opened, closed = [note for note in bench.port.notes if note[0] in ("open", "close")][-2:]
        # it ends where it began: the buffer takes it back
        assert opened[:3] == ("open", "boilers", NOON + timedelta(seconds=5))
        assert closed == ("close", "boilers", NOON + timedelta(seconds=5))


async def test_source_when_it_connects_at_once_then_only_a_gap_left_by_an_earlier_collector_is_closed() -> None:
    bench = Bench()
    bench.source._steps = [lambda _, status: status.connected({})]
    async with bench.ran():
        assert bench.port.notes == [("close", "boilers", NOON)]


async def test_source_when_it_never_connects_then_the_gap_begins_with_the_process() -> None:
    bench = Bench(UnreachableError("no route"), UnreachableError("no route"))
    async with bench.ran():
        assert [note[:3] for note in bench.port.notes] == [("open", "boilers", NOON)]
        assert not bench.state.connected
        assert bench.state.last_error == "no route"


async def test_gap_when_the_wall_clock_stepped_back_then_it_does_not_end_before_it_began() -> None:
    bench = Bench()

    def back(_: Emit, status: StatusSink) -> None:
        bench.clock.step_wall(-7200)
        status.connected({})

    bench.source._steps = [UnreachableError("no route"), back]
    async with bench.ran():
        assert bench.port.notes[-1] == ("close", "boilers", NOON)


@pytest.mark.parametrize(
    ("error", "kind", "pause"),
    [
        (UnreachableError("x"), "unreachable", 0.0),
        (ThrottledError("x", retry_after_s=9.0), "throttled", 9.0),
        (ProtocolError("x"), "protocol", 5.0),
        (AuthError("x"), "auth", 60.0),
        (ConfigError("x"), "config", 60.0),
        (ZeroDivisionError("x"), "internal", 0.0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_source_when_it_fails_then_the_kind_is_counted_and_the_pause_fits(
    error: Exception, kind: str, pause: float
) -> None:
    bench = Bench(error)
    async with bench.ran():
        assert bench.state.failures == {kind: 1}
        assert bench.backoff.pauses == [pause]


async def test_source_when_credentials_are_refused_then_the_security_log_says_so() -> None:
    bench = Bench(AuthError("source boilers: certificate refused; have it trusted"), AuthError("again"))
    async with bench.ran():
        assert [e["error"] for e in bench.logged("source_refused_us")] == [
            "source boilers: certificate refused; have it trusted"
        ]
        assert bench.logged("source_lost") == []


async def test_source_when_the_kind_of_fault_changes_then_that_is_news() -> None:
    bench = Bench(UnreachableError("no route"), ProtocolError("no Modbus"), UnreachableError("no route"))
    async with bench.ran():
        assert [e["fault"] for e in bench.logged("source_lost")] == ["unreachable", "protocol"]


async def test_source_when_a_connector_has_a_fault_of_its_own_then_the_traceback_is_logged() -> None:
    bench = Bench(ZeroDivisionError("x"))
    async with bench.ran():
        (event,) = bench.logged("source_lost")
        assert event["log_level"] == "error"
        assert isinstance(event["exc_info"], ZeroDivisionError)


async def test_source_when_a_connection_was_stable_then_the_next_pause_is_short_again() -> None:
    bench = Bench()

    def stable(_: Emit, status: StatusSink) -> None:
        status.connected({})
        bench.clock.advance(31)

    def short(_: Emit, status: StatusSink) -> None:
        status.connected({})
        bench.clock.advance(29)

    bench.source._steps = [stable, short, UnreachableError("no route")]
    async with bench.ran():
        assert bench.backoff.resets == 1


async def test_items_when_they_fail_and_recover_then_logged_and_shown() -> None:
    bench = Bench()
    async with bench.ran():
        status: StatusSink = bench.supervisor
        status.item_failed("b1.p", "bad node id")
        assert bench.state.failed_items == {"b1.p": "bad node id"}
        status.item_recovered("b1.p")
        status.item_recovered("b1.p")
        assert bench.state.failed_items == {}
    assert [e["event"] for e in bench.logged("item_failed", "item_recovered")] == ["item_failed", "item_recovered"]


async def test_sink_when_told_of_missed_polls_and_counts_then_handed_on() -> None:
    bench = Bench()
    later = NOON + timedelta(seconds=3)
    async with bench.ran():
        bench.supervisor.missed(NOON, later, "3 polls late")
        bench.supervisor.counted(sent=20, in_gaps=5)
    assert bench.port.notes == [
        ("gap", "boilers", NOON, later, "3 polls late"),
        ("counts", "boilers", {"sent": 20, "in_gaps": 5}),
    ]


async def test_uptime_when_half_of_the_time_connected_then_half() -> None:
    bench = Bench()

    def up(_: Emit, status: StatusSink) -> None:
        bench.clock.advance(10)
        status.connected({})
        bench.clock.advance(10)

    bench.source._steps = [up]
    async with bench.ran():
        assert bench.state.uptime_share(bench.clock.monotonic()) == 0.5
        assert bench.state.rows == 1
    assert SourceState("new", "mqtt", 5.0).uptime_share(5.0) == 0.0
