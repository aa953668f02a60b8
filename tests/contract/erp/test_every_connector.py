"""What every ERP connector does against its system as it should be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from resources.core.clock import ManualClock
from resources.erp.connector import CanDescribe, CanLook, Changed, Day, Whole
from resources.erp.kinds import kinds
from tests.contract.erp.pulling import at, pull
from tests.contract.erp.rig import SYSTEM, ErpRig, Trouble, rigs


def test_every_kind_when_there_is_one_has_joined_the_suite() -> None:
    assert sorted(rigs()) == sorted(kinds())


@pytest.mark.parametrize("kind", sorted(rigs()))
def test_every_trouble_when_a_system_can_have_it_is_tried(kind: str) -> None:
    rig = rigs()[kind]
    assert set(rig.troubles) | set(rig.exempt) == set(Trouble)
    assert not set(rig.troubles) & set(rig.exempt)


def test_a_day_when_pulled_brings_every_record_once(rig: ErpRig) -> None:
    config = rig.config()
    found = pull(rig, rig.facts, Day(rig.day), config)
    keys = found.keys(config, rig.facts)
    assert len(keys) == len(set(keys))
    assert set(keys) == rig.keys(rig.facts, rig.day)
    assert found.pages >= 2
    assert found.counts <= {len(keys), None}


def test_every_dataset_when_pulled_brings_what_the_system_holds(rig: ErpRig) -> None:
    config = rig.config()
    for dataset, declared in config.datasets.items():
        day = None if declared.is_master else rig.day
        found = pull(rig, dataset, Whole() if day is None else Day(day), config)
        keys = found.keys(config, dataset)
        assert sorted(keys) == sorted(rig.keys(dataset, day)), dataset
        assert keys, dataset


def test_every_dataset_when_pulled_holds_the_properties_it_declares(rig: ErpRig) -> None:
    config = rig.config()
    for dataset, declared in config.datasets.items():
        part = Whole() if declared.is_master else Day(rig.day)
        records = pull(rig, dataset, part, config).records
        for path in declared.properties:
            assert any(at(record, path) is not None for record in records), f"{dataset}: {path} is in no record"


def test_a_page_when_it_comes_holds_records_as_json_text(rig: ErpRig) -> None:
    client = rig.client(rig.config())
    try:
        page = next(iter(client.fetch(rig.facts, Day(rig.day))))
    finally:
        client.close()
    assert all(isinstance(record, bytes) and isinstance(json.loads(record), dict) for record in page.records)


def test_a_day_when_nothing_happened_is_empty(rig: ErpRig) -> None:
    assert pull(rig, rig.facts, Day(rig.day.replace(year=1999))).records == []


def test_changes_when_asked_for_are_those_stamped_in_between(rig: ErpRig) -> None:
    if rig.changing is None:
        return
    config = rig.config()
    noon = datetime.combine(rig.day, datetime.min.time(), UTC) + timedelta(hours=12)
    for since, until in ((noon - timedelta(days=1), noon), (noon, noon + timedelta(hours=9))):
        found = pull(rig, rig.changing, Changed(since, until), config)
        keys = found.keys(config, rig.changing)
        assert set(keys) == rig.changed_keys(since, until)
        assert len(keys) == len(set(keys))


def test_tokens_when_pulling_pages_are_asked_for_once(rig: ErpRig) -> None:
    before = rig.requests()[1]
    found = pull(rig, rig.facts, Day(rig.day))
    assert found.pages >= 2
    assert rig.requests()[1] - before <= 1


def test_the_metadata_when_described_has_every_property_declared(rig: ErpRig) -> None:
    config = rig.config()
    client = rig.client(config)
    try:
        assert isinstance(client, CanDescribe)
        described = client.describe()
    finally:
        client.close()
    assert described.files
    assert all(isinstance(body, bytes) and body for body in described.files.values())
    for dataset, declared in config.datasets.items():
        known = {found.path for found in described.properties[dataset]}
        assert {path for path in declared.properties if path not in known} == set(), dataset
        assert all(found.type for found in described.properties[dataset])


def test_a_property_when_it_was_renamed_is_missing_in_the_description(rig: ErpRig) -> None:
    path = rig.rename(rig.facts)
    config = rig.config()
    client = rig.client(config)
    try:
        assert isinstance(client, CanDescribe)
        assert path in config.datasets[rig.facts].properties
        assert path not in {found.path for found in client.describe().properties[rig.facts]}
    finally:
        client.close()


def test_a_sound_system_when_looked_at_gives_no_cause_for_worry(rig: ErpRig) -> None:
    client = rig.client(rig.config())
    try:
        assert isinstance(client, CanLook)
        found = client.look()
    finally:
        client.close()
    assert found
    assert {finding.level for finding in found} == {"ok"}, [finding.says for finding in found]


def test_a_permission_when_missing_is_named_with_its_dataset(rig: ErpRig) -> None:
    rig.deny(rig.facts)
    client = rig.client(rig.config())
    try:
        assert isinstance(client, CanLook)
        bad = [finding for finding in client.look() if finding.level != "ok"]
    finally:
        client.close()
    assert any(rig.facts in finding.says for finding in bad), [finding.says for finding in bad]


def test_a_clock_when_it_is_off_is_told(rig: ErpRig) -> None:
    # the fake's `Date` header is this machine's time
    client = rig.client(rig.config(), ManualClock(datetime.now(UTC) + timedelta(minutes=20)))
    try:
        assert isinstance(client, CanLook)
        found = client.look()
    finally:
        client.close()
    told = [finding for finding in found if finding.level != "ok" and "clock" in finding.says]
    assert told, [finding.says for finding in found]
    assert any("20" in finding.says or "1200" in finding.says or "1199" in finding.says for finding in told)


def test_a_client_when_closed_twice_does_not_mind(rig: ErpRig) -> None:
    client = rig.client(rig.config())
    assert client.system == SYSTEM
    client.close()
    client.close()
