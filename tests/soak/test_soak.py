"""Two minutes of the soak, or GL_SOAK_S seconds: every number of every device is accounted for at the end."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms
from tests.soak.soak import Plan, soak
from tests.soak.verdict import write

SECONDS = float(os.environ.get("GL_SOAK_S", "120"))


@pytest.mark.slow
@pytest.mark.timeout(int(SECONDS) + 900)
async def test_soak_when_a_device_fails_every_ten_seconds_then_nothing_is_lost_and_nothing_twice(
    tmp_path: Path, server_folder: Path, programs: ServerPrograms
) -> None:
    # a broker of its own: the faults restart it
    broker = EmbeddedBroker(server_folder / "soak-mqtt", programs, BrokerOptions(insecure_anonymous=True))
    broker.start()
    try:
        result, verdicts = await soak(Plan(SECONDS, devices=30), tmp_path, broker)
    finally:
        broker.stop()
    write(tmp_path / "soak.json", result, verdicts, datetime.now(UTC))
    told = json.dumps(result)
    assert sum(one.stored for one in verdicts) > 30 * 5 * SECONDS / 4, told
    assert {one.name: one.lost for one in verdicts if one.lost} == {}, told
    assert {one.name: one.duplicated for one in verdicts if one.duplicated} == {}, told
    assert {one.name: one.corrupt for one in verdicts if one.corrupt} == {}, told
    # at QoS 1 the broker keeps what is not acknowledged: no fault excuses a loss
    assert sum(one.missing_in_gaps for one in verdicts if one.kind == "mqtt") == 0, told
    assert result["unaccounted_by_the_counters"] == 0, told
    assert result["most_sessions_of_a_source"] == 1, told
    assert sum(result["faults"].values()) >= SECONDS / 10 - 2, told
