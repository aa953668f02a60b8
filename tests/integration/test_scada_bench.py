"""`gl bench scada` in small: five devices for a second, and the judgement of figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scada import bench as scada
from benchmarks.scada import pool as scada_pool
from benchmarks.scada.devices import Fleet
from resources.core.errors import ConfigError
from resources.embedded.broker import EmbeddedBroker


async def test_pool_when_five_devices_work_for_a_second_then_every_reading_is_accounted_for(
    tmp_path: Path, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scada_pool, "OFFERED_S", 1.0)
    fleets = [
        Fleet("modbus", 2, tags=3, interval_s=0.2),
        Fleet("opc_ua", 2, tags=3, interval_s=0.2),
        Fleet("mqtt", 1, tags=3, interval_s=0.2, broker_port=broker.port),
    ]
    try:
        for fleet in fleets:
            await fleet.start()
        async with scada_pool._collecting(tmp_path / "gl", fleets) as (collector, url, seconds):
            assert len(collector.states) == 5
            assert seconds > 0
            assert await scada_pool._health(collector, url) > 0
            figures = await scada_pool._flow(collector, fleets)
        assert figures["collector_readings_per_s"] > 0
        assert figures["opc_ua_readings_lost"] == figures["mqtt_readings_lost"] == 0
    finally:
        for fleet in fleets:
            await fleet.stop()


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({"opcua_vs_bare": 0.8, "reconnect_s": 5.0, "collector_readings_lost": 0}, []),
        ({"opcua_vs_bare": 0.79, "health_100_s": 0.1}, ["opcua_vs_bare"]),
        ({"reconnect_s": 5.01, "collector_readings_per_s": 9_999}, ["reconnect_s", "collector_readings_per_s"]),
        ({"collector_readings_lost": 1}, ["collector_readings_lost"]),
    ],
    ids=["all held", "too low", "too slow", "lost"],
)
def test_missed_when_figures_are_held_against_their_targets_then_those_beyond(
    figures: dict[str, float], missed: list[str]
) -> None:
    assert scada.missed(figures) == missed


def test_bench_when_a_part_is_unknown_then_it_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="there are opcua, mqtt, modbus, pool"):
        scada.run(lambda _: None, parts=["profibus"])
