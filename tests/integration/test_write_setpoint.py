"""The job `write_setpoint` against a real broker with a device behind it, and a real database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from gl_assets.definitions import build_definitions
from gl_assets.scada.write_setpoint import NO_RETRIES, repeated, requester_of
from resources.databases.timescale.connection import connect
from resources.databases.timescale.notes.writes_audit import AuditedWrite, read_audit
from resources.embedded.broker import EmbeddedBroker
from resources.embedded.postgres import EmbeddedPostgres
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from tests.conftest import fresh_database
from tests.setpoint_plant import Device, configuration


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def device(broker: EmbeddedBroker) -> Iterator[Device]:
    started = Device(broker.port)
    yield started
    started.stop()


class Site:
    """One test's site in the shared database, its job and its record."""

    def __init__(self, port: int, url: str, name: str, **writes: bool) -> None:
        self.name, self.url = name, url
        config = Integrations.model_validate({**configuration(port, name), "writes": writes})
        definitions = build_definitions(config, resources={"timescale": TimescaleResource(url=url)})
        self.job = definitions.resolve_job_def("write_setpoint")

    def run(
        self, instance: dg.DagsterInstance, tags: dict[str, str] | None = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        given = {"sensor_id": "B1.SP", "value": 45.0, **config}
        return self.job.execute_in_process(
            {"ops": {"write_value": {"config": given}}}, instance=instance, tags=tags, raise_on_error=False
        )

    def rows(self) -> list[AuditedWrite]:
        with connect(self.url) as connection:
            return read_audit(connection, site=self.name)


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return str(event.step_failure_data.error) + str(event.step_failure_data.user_failure_data)


def test_job_when_the_configuration_does_not_allow_it_then_it_is_refused_and_recorded(
    device: Device, broker: EmbeddedBroker, url: str
) -> None:
    site = Site(broker.port, url, "closed")
    with dg.DagsterInstance.ephemeral() as instance:
        result = site.run(instance, confirm=True)
        assert "writes.from_dagster: true" in failure_of(result)
        (row,) = site.rows()
        assert (row.outcome, row.sent_at, row.run_id) == ("refused", None, result.run_id)


def test_job_when_allowed_then_it_rehearses_writes_once_and_names_the_run(
    device: Device, broker: EmbeddedBroker, url: str
) -> None:
    site = Site(broker.port, url, "open", from_dagster=True)
    with dg.DagsterInstance.ephemeral() as instance:
        rehearsed = site.run(instance)
        assert rehearsed.success
        written = site.run(instance, {"user": "anna"}, confirm=True, note="shift order 7")
        assert written.success
        last, first = site.rows()
        assert (first.outcome, first.dry_run, first.run_id) == ("dry_run", True, rehearsed.run_id)
        assert (last.outcome, last.old_value, last.read_back, last.run_id) == ("written", 40.0, 45.0, written.run_id)
        assert last.requested_by.startswith("anna (by tag of the run), as ")
        assert first.requested_by.startswith("launched by hand, as ")
        assert (last.requested_via, last.note) == ("dagster", "shift order 7")
        (made,) = [event for event in written.all_events if event.is_successful_output]
        metadata = {name: value.value for name, value in made.step_output_data.metadata.items()}
        expected = {"outcome": "written", "old_value": 40.0, "new_value": 45.0, "read_back": 45.0}
        assert {name: metadata[name] for name in expected} == expected
        assert metadata["audit_row"] == last.write_id
        assert "is a step of" in failure_of(site.run(instance, value=-10.0, confirm=True))


def test_run_when_it_repeats_another_or_a_step_then_it_may_not_write() -> None:
    fresh = dg.DagsterRun(job_name="write_setpoint")
    again = dg.DagsterRun(job_name="write_setpoint", parent_run_id=fresh.run_id, root_run_id=fresh.run_id)
    assert repeated(fresh, 0) is None
    assert f"repeats run {fresh.run_id}" in (repeated(again, 0) or "")
    assert "tried again" in (repeated(fresh, 1) or "")


def test_job_when_dagster_decides_on_retries_then_its_tags_forbid_them(broker: EmbeddedBroker, url: str) -> None:
    job = Site(broker.port, url, "tags").job
    assert {name: job.tags[name] for name in NO_RETRIES} == NO_RETRIES
    assert all(node.definition.retry_policy is None for node in job.nodes)  # type: ignore[union-attr]


def test_requester_when_a_schedule_launched_the_run_then_it_is_named() -> None:
    run = dg.DagsterRun(job_name="write_setpoint", tags={"dagster/schedule_name": "night_setback"})
    assert requester_of(run).by.startswith("schedule night_setback, as ")
