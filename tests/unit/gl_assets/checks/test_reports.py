import dagster as dg
import pytest

from gl_assets.checks.gates import GATES
from gl_assets.checks.reports import evaluation, markdown_table, measured_chart, summary
from resources.databases.timescale.quality.gate_results import GateResult, Judged

GATE = GATES[0]
ASSET = dg.AssetKey(["scada", "sensor_readings"])
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def result(key: str, *, passed: bool, released_by: str | None = None) -> GateResult:
    return GateResult(
        "scada/sensor_readings",
        key,
        1,
        GATE.name,
        passed=passed,
        blocking=True,
        metadata={"failing": int(not passed), "first": [{"sensor_id": "a|b", "value": 1.5, "unit": None}]},
        released_by=released_by,
    )


GREEN, RED, RELEASED = (
    result("1", passed=True),
    result("2", passed=False),
    result("3", passed=False, released_by="M. Keller"),
)


@pytest.mark.parametrize(
    ("results", "stops", "passed", "severity"),
    [
        ([GREEN], True, True, ERROR),
        ([GREEN, RED], True, False, ERROR),
        ([GREEN, RED], False, False, WARN),
        ([RED, RED], False, False, ERROR),
        ([RELEASED], True, False, WARN),
        ([], True, True, ERROR),
    ],
    ids=["green", "red stops", "one of two goes on", "all are held", "released", "none"],
)
def test_summary_when_some_are_red_then_it_stops_the_run_only_where_nothing_may_go_on(
    results: list[GateResult], stops: bool, passed: bool, severity: dg.AssetCheckSeverity
):
    found = summary(GATE, ASSET, results, stops=stops)
    assert (found.passed, found.severity) == (passed, severity)
    assert found.metadata["red"].value == sum(not one.passed for one in results)


def test_summary_when_drawn_then_the_plot_is_among_its_metadata():
    plot = measured_chart([Judged("a", True, 1.0, 2.0), Judged("b", False, 3.0, 2.0)], "x_is_y")
    found = summary(GATE, ASSET, [RED], drawn=lambda: plot)
    assert found.metadata["plot"].value.startswith("![x_is_y](data:image/png;base64,iVBOR")
    assert found.metadata["partition"].value == "2"


def test_evaluation_when_released_then_it_says_by_whom_and_is_no_error():
    told = evaluation(RELEASED)
    assert (told.severity, told.blocking, told.partition) == (WARN, True, "3")
    assert told.metadata["released_by"].value == "M. Keller"
    assert told.metadata["first_failing_rows"].value.splitlines()[2] == "| a/b | 1.5 |  |"


def test_table_when_rows_differ_in_columns_then_it_has_all_of_them():
    assert markdown_table([{"a": 1}, {"b": 2.5}]).splitlines() == ["| a | b |", "|---|---|", "| 1 |  |", "|  | 2.5 |"]
