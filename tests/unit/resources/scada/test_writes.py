"""The guard against a scripted fake of a device, for the ways of failing that no simulator offers; real ones elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from resources.core.clock import SystemClock, to_micros
from resources.core.configuration.settings import TagConfig
from resources.core.errors import AuthError, ConfigError, ProtocolError, UnreachableError
from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.databases.timescale.connection import connect
from resources.databases.timescale.notes.writes_audit import WritesAudit, read_audit
from resources.embedded.postgres import EmbeddedPostgres
from resources.scada import writes
from resources.scada.writes import Outcome, Requester, Target, WriteGuard, WriteReport, WriteRequest
from tests.conftest import fresh_database

SENSOR = "BLR1.SP"
ANNA = Requester("anna", "gl write", "control-room-2")


class FakeDevice:
    """Holds one value; `on_write` and `on_read` may raise, or change what it holds."""

    name, kind = "boilers", "fake"

    def __init__(self, value: float | None = 40.0, status: Status = Status.GOOD) -> None:
        self.value, self.status = value, status
        self.received: list[float | str] = []
        self.on_write: Callable[[float | str], None] = self.take
        self.on_read: Callable[[], None] = lambda: None
        self.catalog = SensorCatalog([Sensor(SENSOR, "bar", "boilers")])

    def take(self, value: float | str) -> None:
        self.value = float(value)

    async def write(self, sensor_id: str, value: float | str) -> None:
        assert sensor_id == SENSOR
        self.received.append(value)
        self.on_write(value)

    async def read(self, sensor_ids: Any = None) -> ReadingBatch:
        assert list(sensor_ids) == [SENSOR]
        self.on_read()
        now = to_micros(SystemClock().now())
        if self.value is None:
            reject = Reject("boilers", "{}", ("Modbus exception 2, illegal data address",), now, sensor_id=SENSOR)
            return ReadingBatch("boilers", rejects=rejects_batch([reject]))
        return ReadingBatch("boilers", readings=readings_batch([now], [0], [self.value], [self.status], now))


class ReadOnlyDevice:
    """A connector without `write`."""

    name, kind = "boilers", "historian"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "READ_BACK_EVERY_S", 0.01)


@pytest.fixture(scope="module")
def shared_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """One database for all tests that do it no harm: each has a site of its own in it."""
    yield from fresh_database(postgres)


@pytest.fixture
def site(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def audit(shared_url: str, site: str) -> Iterator[WritesAudit]:
    with WritesAudit(shared_url, site=site) as opened:
        yield opened


def guard(device: Any, audit: Any, **bounds: Any) -> WriteGuard:
    writable = {"minimum": 20, "maximum": 45, "max_step": 2, "read_back_timeout": "50ms"} | bounds
    tags = [
        TagConfig.model_validate({"sensor_id": SENSOR, "unit": "bar", "writable": writable}),
        TagConfig.model_validate({"sensor_id": "BLR1.P", "unit": "bar"}),
    ]
    catalog = SensorCatalog([Sensor(tag.sensor_id, tag.unit, "boilers") for tag in tags])
    return WriteGuard({tag.sensor_id: Target("boilers", tag, lambda: device, catalog) for tag in tags}, audit)


def ask(guarded: WriteGuard, value: float = 41.0, *, confirm: bool = True, sensor_id: str = SENSOR) -> WriteReport:
    return guarded.execute(WriteRequest(sensor_id, value, confirm, "shift order 7"), ANNA)


def rows(url: str, site: str) -> list[dict[str, Any]]:
    with closing(psycopg.connect(url, row_factory=dict_row)) as connection:
        found = connection.execute("SELECT * FROM scada.writes_audit WHERE site = %s ORDER BY write_id", (site,))
        return found.fetchall()


def test_write_when_confirmed_then_it_is_sent_once_read_back_and_recorded(
    audit: WritesAudit, shared_url: str, site: str
) -> None:
    device = FakeDevice()
    report = ask(guard(device, audit))
    assert (report.outcome, report.old_value, report.read_back) == (Outcome.WRITTEN, 40.0, 41.0)
    assert report.well
    assert device.received == [41.0]
    (row,) = rows(shared_url, site)
    assert {name: row[name] for name in row if not name.endswith("_at")} == {
        "write_id": report.write_id,
        "site": site,
        "sensor_id": SENSOR,
        "source": "boilers",
        "requested_by": "anna",
        "requested_via": "gl write",
        "requested_from": "control-room-2",
        "run_id": None,
        "note": "shift order 7",
        "dry_run": False,
        "new_value": 41.0,
        "unit": "bar",
        "old_value": 40.0,
        "read_back": 41.0,
        "outcome": "written",
        "reason": "read back as 41",
    }
    assert row["requested_at"] <= row["sent_at"] <= row["completed_at"]


def test_write_when_not_confirmed_then_nothing_is_sent(audit: WritesAudit, shared_url: str, site: str) -> None:
    device = FakeDevice()
    report = ask(guard(device, audit), confirm=False)
    assert (report.outcome, report.well) == (Outcome.DRY_RUN, True)
    assert device.received == []
    (row,) = rows(shared_url, site)
    assert (row["outcome"], row["dry_run"], row["old_value"], row["sent_at"]) == ("dry_run", True, 40.0, None)


@pytest.mark.parametrize(
    ("sensor_id", "value", "says"),
    [
        ("BLR1.P", 41.0, "read-only"),
        ("NOBODY", 41.0, "no source has a tag of this sensor_id"),
        (SENSOR, 46.0, "outside of writable.minimum"),
        (SENSOR, float("nan"), "not a number"),
        (SENSOR, 43.0, "from 40 to 43 bar is a step of 3"),
    ],
)
def test_write_when_a_rule_says_no_then_nothing_is_sent_and_the_refusal_is_recorded(
    audit: WritesAudit, shared_url: str, site: str, sensor_id: str, value: float, says: str
) -> None:
    device = FakeDevice()
    report = ask(guard(device, audit), value, sensor_id=sensor_id)
    assert report.outcome is Outcome.REFUSED
    assert says in report.reason
    assert not report.well
    assert device.received == []
    (row,) = rows(shared_url, site)
    assert (row["outcome"], row["reason"], row["sensor_id"]) == ("refused", report.reason, sensor_id)
    assert row["completed_at"] is not None


@pytest.mark.parametrize(
    ("device", "says"),
    [
        (FakeDevice(40.0, Status.UNCERTAIN), "its present value is 40 with status uncertain"),
        (FakeDevice(None), "its present value is none with status unreadable (Modbus exception 2"),
        (FakeDevice(float("nan")), "its present value is nan"),
    ],
    ids=["uncertain", "unreadable", "nan"],
)
def test_write_when_the_present_value_is_not_good_then_it_is_refused(
    audit: WritesAudit, device: FakeDevice, says: str
) -> None:
    report = ask(guard(device, audit))
    assert report.outcome is Outcome.REFUSED
    assert says in report.reason
    assert device.received == []


def test_write_when_the_connector_cannot_write_then_it_is_refused(audit: WritesAudit) -> None:
    report = ask(guard(ReadOnlyDevice(), audit))
    assert (report.outcome, report.reason) == (
        Outcome.REFUSED,
        "the connector of source boilers (historian) cannot write",
    )


def test_write_when_barred_then_it_is_refused_and_recorded(audit: WritesAudit, shared_url: str, site: str) -> None:
    report = guard(FakeDevice(), audit).execute(WriteRequest(SENSOR, 41.0, True), ANNA, barred="not from there")
    assert (report.outcome, report.reason) == (Outcome.REFUSED, "not from there")
    assert [row["outcome"] for row in rows(shared_url, site)] == ["refused"]


def test_write_when_one_was_sent_a_moment_ago_then_the_interval_is_kept(audit: WritesAudit) -> None:
    device = FakeDevice()
    hasty = guard(device, audit, minimum_interval="1h")
    assert ask(hasty, 41.0, confirm=False).outcome is Outcome.DRY_RUN
    assert ask(hasty, 41.0).outcome is Outcome.WRITTEN
    report = ask(hasty, 42.0)
    assert report.outcome is Outcome.REFUSED
    assert "writable.minimum_interval is 3600 s" in report.reason
    assert ask(guard(device, audit), 42.0).outcome is Outcome.WRITTEN


def test_write_when_the_source_refuses_then_it_has_failed_and_nothing_is_tried_again(
    audit: WritesAudit, shared_url: str, site: str
) -> None:
    device = FakeDevice()

    def refuse(_value: float | str) -> None:
        raise ProtocolError("source boilers: BadNotWritable", source="boilers")

    device.on_write = refuse
    report = ask(guard(device, audit))
    assert (report.outcome, report.reason) == (Outcome.FAILED, "source boilers: BadNotWritable")
    assert device.received == [41.0]
    assert rows(shared_url, site)[0]["sent_at"] is not None


def test_write_when_the_source_says_no_but_took_the_value_then_a_look_tells(audit: WritesAudit) -> None:
    device = FakeDevice()

    def take_and_complain(value: float | str) -> None:
        device.take(value)
        raise ProtocolError("source boilers: BadTimeout", source="boilers")

    device.on_write = take_and_complain
    report = ask(guard(device, audit))
    assert (report.outcome, report.read_back) == (Outcome.WRITTEN, 41.0)
    assert "although: source boilers: BadTimeout" in report.reason


@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "arrived"])
def test_write_when_the_connection_breaks_then_a_look_tells_or_it_stays_in_doubt(
    audit: WritesAudit, arrives: bool
) -> None:
    device = FakeDevice()

    def break_off(value: float | str) -> None:
        if arrives:
            device.take(value)
        raise UnreachableError("source boilers: connection lost", source="boilers")

    device.on_write = break_off
    report = ask(guard(device, audit))
    assert report.outcome is (Outcome.WRITTEN if arrives else Outcome.IN_DOUBT)
    assert "connection lost" in report.reason
    assert device.received == [41.0]


def test_write_when_the_source_is_gone_afterwards_then_it_stays_in_doubt(audit: WritesAudit) -> None:
    device = FakeDevice()

    def gone() -> None:
        raise UnreachableError("source boilers: refused", source="boilers")

    def break_off(_value: float | str) -> None:
        device.on_read = gone
        gone()

    device.on_write = break_off
    report = ask(guard(device, audit))
    assert report.outcome is Outcome.IN_DOUBT
    assert "the value read afterwards: not readable" in report.reason


@pytest.mark.parametrize(
    ("keeps", "says"), [(40.0, "40 is read back, not 41"), (None, "could not be read in 0.05 s")], ids=["other", "none"]
)
def test_write_when_another_value_is_read_back_then_it_is_not_confirmed(
    audit: WritesAudit, keeps: float | None, says: str
) -> None:
    device = FakeDevice()
    device.on_write = lambda _value: setattr(device, "value", keeps)
    report = ask(guard(device, audit))
    assert report.outcome is Outcome.NOT_CONFIRMED
    assert says in report.reason
    assert not report.well


def test_write_when_the_device_takes_its_time_then_the_read_back_waits(audit: WritesAudit) -> None:
    device, looks = FakeDevice(), iter(range(100))

    def later() -> None:
        if device.received and next(looks) == 3:
            device.take(device.received[-1])

    device.on_read = later
    device.on_write = lambda _value: None
    report = ask(guard(device, audit, read_back_timeout="30s"))
    assert report.outcome is Outcome.WRITTEN


def test_write_when_the_source_cannot_be_read_first_then_nothing_is_sent(audit: WritesAudit) -> None:
    device = FakeDevice()

    def refuse() -> None:
        raise AuthError("source boilers: user name or password refused", source="boilers")

    device.on_read = refuse
    report = ask(guard(device, audit))
    assert (report.outcome, report.reason) == (Outcome.FAILED, "source boilers: user name or password refused")
    assert device.received == []


@pytest.mark.parametrize(("when", "outcome"), [("read", "failed"), ("write", "in_doubt")])
def test_write_when_the_process_is_interrupted_then_the_record_is_true(
    audit: WritesAudit, shared_url: str, site: str, when: str, outcome: str
) -> None:
    device = FakeDevice()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    setattr(device, f"on_{when}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(guard(device, audit))
    (row,) = rows(shared_url, site)
    assert (row["outcome"], row["reason"]) == (outcome, "ended by KeyboardInterrupt")


def test_write_when_two_write_at_once_then_the_second_is_refused_and_told_who(
    audit: WritesAudit, shared_url: str, site: str
) -> None:
    device = FakeDevice()
    within, go_on = threading.Event(), threading.Event()

    def hold(value: float | str) -> None:
        within.set()
        assert go_on.wait(60)
        device.take(value)

    device.on_write = hold
    reports: list[WriteReport] = []

    def first() -> None:
        with WritesAudit(shared_url, site=site) as own:
            reports.append(ask(guard(device, own)))

    thread = threading.Thread(target=first)
    thread.start()
    assert within.wait(60)
    try:
        second = ask(guard(device, audit), 39.0)
    finally:
        go_on.set()
        thread.join(60)
    assert second.outcome is Outcome.REFUSED
    assert "anna on control-room-2 since" in second.reason
    assert reports[0].outcome is Outcome.WRITTEN
    assert device.received == [41.0]
    # the lock went with the attempt, and the next one's step is judged by the new value
    device.on_write = device.take
    assert ask(guard(device, audit), 38.5).reason.startswith("from 41 to 38.5 bar is a step of 2.5")
    assert ask(guard(device, audit), 39.5).outcome is Outcome.WRITTEN


def test_write_when_another_site_writes_the_same_name_then_neither_waits(shared_url: str) -> None:
    with WritesAudit(shared_url, site="n") as north, WritesAudit(shared_url, site="s") as south:
        with north.lock(SENSOR) as one, south.lock(SENSOR) as other:
            assert (one, other) == (True, True)
        assert north.who_is_writing(SENSOR, but=0) == "somebody else"


def test_write_when_a_run_sends_a_second_time_then_the_database_refuses_it_before_it_is_sent(
    audit: WritesAudit,
) -> None:
    device = FakeDevice()
    run = Requester("launched by hand", "dagster", "server", "run-1")
    first = guard(device, audit).execute(WriteRequest(SENSOR, 41.0, True), run)
    again = guard(device, audit).execute(WriteRequest(SENSOR, 42.0, True), run)
    assert first.outcome is Outcome.WRITTEN
    assert again.outcome is Outcome.FAILED
    assert "a run sends one, once" in again.reason
    assert device.received == [41.0]


def test_write_when_the_record_cannot_be_begun_then_nothing_is_sent(empty_database_url: str) -> None:
    device = FakeDevice()
    with (
        WritesAudit(empty_database_url, site="north") as without_table,
        pytest.raises(ConfigError, match="there is no scada.writes_audit: `gl up` or `gl ingest`"),
    ):
        ask(guard(device, without_table))
    assert device.received == []


def test_write_when_the_database_goes_while_it_is_sent_then_the_record_is_completed_over_a_new_connection(
    database_url: str,
) -> None:
    device, audit = FakeDevice(), WritesAudit(database_url, site="north")

    def cut(value: float | str) -> None:
        with connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'gl'"
            )
        device.take(value)

    device.on_write = cut
    assert ask(guard(device, audit)).outcome is Outcome.WRITTEN
    assert [row["outcome"] for row in rows(database_url, "north")] == ["written"]
    audit.close()


def test_write_when_the_record_can_no_longer_be_completed_then_the_error_says_what_was_sent(database_url: str) -> None:
    device, audit = FakeDevice(), WritesAudit(database_url, site="north")

    def close_table(value: float | str) -> None:
        with connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE scada.writes_audit RENAME TO gone")
        device.take(value)

    device.on_write = close_table
    with pytest.raises(ConfigError, match=r"41 was sent \(written: .* could not be completed and says `sending`"):
        ask(guard(device, audit))
    audit.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM scada.writes_audit",
        "TRUNCATE scada.writes_audit",
        "UPDATE scada.writes_audit SET new_value = 1",
        "UPDATE scada.writes_audit SET reason = 'other'",
    ],
)
def test_record_when_it_is_completed_then_the_database_keeps_it(
    audit: WritesAudit, shared_url: str, site: str, statement: str
) -> None:
    ask(guard(FakeDevice(), audit))
    with (
        connect(shared_url) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="neither changed nor deleted"),
    ):
        connection.execute(statement)


def test_history_when_read_then_it_is_newest_first_of_the_site_and_sensor(
    audit: WritesAudit, shared_url: str, site: str, empty_database_url: str
) -> None:
    guarded = guard(FakeDevice(), audit)
    for value in (41.0, 50.0):
        ask(guarded, value)
    ask(guarded, sensor_id="NOBODY")
    with connect(shared_url) as connection:
        everything = read_audit(connection, site=site)
        assert [row.outcome for row in everything] == ["refused", "refused", "written"]
        assert [row.new_value for row in read_audit(connection, site=site, sensor_id=SENSOR)] == [50.0, 41.0]
        assert len(read_audit(connection, site=site, limit=1)) == 1
        assert read_audit(connection, site="south") == []
    with connect(empty_database_url) as connection, pytest.raises(ConfigError, match="brings the schema up to date"):
        read_audit(connection, site=site)
