from datetime import UTC, date, datetime

import pytest

from gl_assets.asset_keys import BOILER_EFFICIENCY
from gl_assets.checks.gated_tables import AGENTS, ANSWERS, BOILERS, COSTS, FOUND, HOURLY, INTENSITIES
from gl_assets.checks.model import in_force
from gl_assets.checks.table_checks import partition_keys
from gl_assets.checks.table_gates import GatedTable, Part, Verdict, compared, facts_of, gates_of_table
from resources.core.configuration.gates import GateSetting

HOUR = datetime(2026, 11, 21, 10, tzinfo=UTC)
READING = {
    "hour": HOUR,
    "sensor_id": "B1/P",
    "readings": 60,
    "good_share": 1.0,
    "min_value": 1.0,
    "max_value": 3.0,
    "sum_value": 120.0,
    "mean_value": 2.0,
    "unit": "bar",
}
BOILER = {
    "boiler": "boiler_1",
    "hour": HOUR,
    "efficiency": 0.9,
    "steam_power_kw": 9.0,
    "fuel_power_kw": 10.0,
    "good_share": 1.0,
    "reason": None,
}
AGENT = {
    "agent_id": "GL-002",
    "agent_type": "boiler",
    "status": "online",
    "last_heartbeat": HOUR,
    "performance_score": 0.9,
    "declared": True,
}
ANSWER = {
    "message_id": "a1",
    "correlation_id": "c1",
    "agent_id": "GL-002",
    "status": "ok",
    "received_at": HOUR,
    "latency_ms": 3.0,
}
ANOMALY = {
    "time": HOUR,
    "sensor_id": "B1/P",
    "kind": "outlier",
    "value": 1.0,
    "expected": 2.0,
    "score": 1.5,
    "window_start": HOUR,
    "equipment": "boiler_1",
    "ended_at": HOUR,
    "model_version": 1,
    "found_by": "asset",
}
INTENSITY = {
    "consumer": "furnace",
    "day": date(2026, 11, 21),
    "basis": "booked",
    "energy_kwh": 100.0,
    "product_t": 2.0,
    "intensity_kwh_per_t": 50.0,
    "booked_energy_kwh": 100.0,
    "booked_product_t": 2.0,
    "measured_energy_kwh": None,
    "measured_product_t": None,
    "measured_hours": 0,
    "good_share": None,
    "reason": None,
}
COST = {
    "consumer": "furnace",
    "day": date(2026, 11, 21),
    "energy_type": "natural_gas",
    "basis": "booked",
    "energy_kwh": 100.0,
    "price_per_kwh": 0.05,
    "cost": 5.0,
    "cost_per_t": 2.5,
    "currency": "EUR",
    "reason": None,
}
WELL = [
    (HOURLY, READING),
    (BOILERS, BOILER),
    (AGENTS, AGENT),
    (ANSWERS, ANSWER),
    (FOUND, ANOMALY),
    (INTENSITIES, INTENSITY),
    (COSTS, COST),
]
NAMES = [table.noun for table, _ in WELL]


def judged(table: GatedTable, part: Part) -> dict[str, Verdict]:
    facts = facts_of(table, part)
    return {gate.kind: gate.judge(facts, gate.limit) for gate in gates_of_table(table)}


def red(table: GatedTable, part: Part) -> set[str]:
    return {kind for kind, verdict in judged(table, part).items() if not verdict.passed}


@pytest.mark.parametrize(("table", "row"), WELL, ids=NAMES)
def test_gates_when_the_rows_are_well_then_all_pass(table: GatedTable, row: dict):
    assert red(table, Part([row], expected=1, score=100.0)) == set()


@pytest.mark.parametrize(("table", "row"), WELL, ids=NAMES)
def test_gates_when_a_row_stands_twice_then_duplicates_are_red_and_both_are_shown(table: GatedTable, row: dict):
    verdict = judged(table, Part([row, row]))["duplicates"]
    assert (verdict.passed, verdict.metadata["failing"], len(verdict.metadata["first"])) == (False, 2, 2)


@pytest.mark.parametrize(("table", "row"), WELL, ids=NAMES)
def test_gates_when_the_score_is_low_then_the_score_is_red(table: GatedTable, row: dict):
    assert red(table, Part([row], score=1.0)) == {"score"}


@pytest.mark.parametrize(("table", "row"), WELL, ids=NAMES)
def test_gates_when_most_of_what_is_expected_is_missing_then_completeness_names_it(table: GatedTable, row: dict):
    verdict = judged(table, Part([row], **compared(["a", "b", "c", "d"], ["a"])))["completeness"]
    assert not verdict.passed
    assert verdict.metadata["first"] == [{"missing": "b"}, {"missing": "c"}, {"missing": "d"}]
    assert verdict.metadata["measured"] == 0.25


@pytest.mark.parametrize(
    ("table", "row", "kinds"),
    [
        (HOURLY, READING | {"mean_value": 9.0}, {"schema"}),
        (HOURLY, READING | {"good_share": 1.5}, {"schema"}),
        (BOILERS, BOILER | {"efficiency": 0.2, "steam_power_kw": 2.0}, {"range"}),
        (BOILERS, BOILER | {"reason": "why?"}, {"schema"}),
        (AGENTS, AGENT | {"status": "lost"}, {"schema"}),
        (AGENTS, AGENT | {"performance_score": 2.0}, {"schema", "range"}),
        (AGENTS, AGENT | {"agent_id": "no id"}, {"schema"}),
        (ANSWERS, ANSWER | {"status": "fine"}, {"schema"}),
        (ANSWERS, ANSWER | {"latency_ms": -1.0}, {"schema", "range"}),
        (ANSWERS, ANSWER | {"received_at": None}, {"schema"}),
        (FOUND, ANOMALY | {"kind": "odd"}, {"schema"}),
        (FOUND, ANOMALY | {"ended_at": HOUR.replace(hour=9)}, {"schema"}),
        (FOUND, ANOMALY | {"model_version": None}, {"schema"}),
        (INTENSITIES, INTENSITY | {"intensity_kwh_per_t": 51.0}, {"schema"}),
        (INTENSITIES, INTENSITY | {"reason": "why?"}, {"schema"}),
        (INTENSITIES, INTENSITY | {"basis": "guessed"}, {"schema"}),
        (INTENSITIES, INTENSITY | {"energy_kwh": 1e7, "intensity_kwh_per_t": 5e6}, {"range"}),
        (COSTS, COST | {"cost": 6.0}, {"schema"}),
        (COSTS, COST | {"currency": "euro"}, {"schema"}),
        (COSTS, COST | {"price_per_kwh": 50.0, "cost": 5000.0}, {"range"}),
    ],
)
def test_gates_when_a_bad_value_is_planted_then_it_is_caught_and_shown(table: GatedTable, row: dict, kinds: set):
    verdicts = judged(table, Part([row]))
    assert {kind for kind, verdict in verdicts.items() if not verdict.passed} == kinds
    for kind in kinds:
        assert verdicts[kind].metadata["failing"] == 1
        assert verdicts[kind].metadata["first"][0].keys() == row.keys()


def test_gates_when_rows_have_limits_of_their_own_then_those_count():
    part = Part([READING, READING | {"sensor_id": "B1/T"}], limits={"B1/P": (0.0, 2.5)})
    verdict = judged(HOURLY, part)["range"]
    assert [row["sensor_id"] for row in verdict.metadata["first"]] == ["B1/P"]


def test_gates_when_there_is_no_row_then_nothing_fails_and_the_score_says_so():
    verdicts = judged(BOILERS, Part([]))
    assert all(verdict.passed for verdict in verdicts.values())
    assert verdicts["score"].metadata["note"] == "nothing to judge"


def test_gates_when_configured_then_effect_and_limit_are_those_of_the_configuration():
    settings = {
        "all": {"duplicates": GateSetting(effect="off"), "score": GateSetting(least=10)},
        "process_heat/boiler_efficiency": {"score": GateSetting(effect="block"), "range": GateSetting(most=3)},
    }
    gates = {gate.kind: gate for gate in in_force(gates_of_table(BOILERS), BOILERS.name, settings)}
    assert gates.keys() == {"schema", "completeness", "range", "score"}
    assert (gates["score"].blocking, gates["score"].limit, gates["range"].limit) == (True, 10.0, 3.0)
    assert BOILERS.asset == BOILER_EFFICIENCY


def test_partition_keys_when_listed_then_both_ends_belong_to_them():
    keys = partition_keys(date(2026, 1, 2) - date(2026, 1, 1), date.fromisoformat, date.isoformat)
    assert keys("2026-11-20", "2026-11-22") == ["2026-11-20", "2026-11-21", "2026-11-22"]
