from __future__ import annotations

from gl_assets.cli.running.counts import source_results, totals
from gl_assets.cli.running.demo import verdict
from resources.core.configuration.settings import parse_yaml
from resources.databases.timescale.window_store.counts import StoredCounts
from resources.integrations import Integrations
from resources.window_buffer.model import SourceCounts

CONFIG = """
site: plant
start: 2026-01-01T00:00:00Z
sources:
  plc: {kind: modbus, host: h, tags: [{sensor_id: A, unit: Cel, address: 0}]}
  dcs:
    kind: opc_ua
    endpoint_url: opc.tcp://h:4840
    insecure_no_security: true
    tags: [{sensor_id: B, unit: Cel, node_id: "nsu=urn:x;s=B"}]
"""


def _results(*, stored: int):
    return source_results(
        parse_yaml(CONFIG, Integrations, name="i.yaml"),
        sent={"dcs": 100},
        buffered={
            "dcs": SourceCounts(sent=98, buffered=97, rejected=1),
            "plc": SourceCounts(sent=50, buffered=47, in_gaps=3),
        },
        stored={"dcs": StoredCounts(stored=stored, rejected=1, deduplicated=2), "plc": StoredCounts(stored=47)},
        in_gaps={"dcs": 2},
    )


def test_source_results_when_everything_is_accounted_for_nothing_is_lost():
    results = _results(stored=95)
    assert (results["dcs"].lost, results["plc"].lost) == (0, 0)
    assert (results["dcs"].sent, results["plc"].sent) == (100, 50)


def test_source_results_when_one_row_is_missing_one_is_lost():
    assert _results(stored=94)["dcs"].lost == 1


def _result(**changed: object):
    summary = totals(_results(stored=95), {"dcs": StoredCounts(95)}, [1.0, 2.0, 3.0])
    return {
        **summary,
        "erp_rows": {"erp/energy_consumption": 3},
        "agents": {"targeted": 99, "answered": 99, "p99_ms": 20.0},
        "checks": {"passed": 5, "failed": 0},
        **changed,
    }


def test_totals_when_summed_hold_every_field_of_the_contract():
    result = _result()
    assert result["sent"] == 150
    assert result["windows"] == 3
    assert result["window_to_table_s"] == {"p50": 2.0, "p95": 2.9}
    assert set(result["sources"]["dcs"]) == {
        "kind", "sent", "buffered", "stored", "rejected", "deduplicated", "in_gaps", "lost",
    }  # fmt: skip


def test_totals_when_no_window_was_stored_say_so():
    assert totals({}, {}, [])["window_to_table_s"] == {"p50": None, "p95": None}


def test_verdict_when_all_is_well_is_empty():
    assert verdict(_result()) == []


def test_verdict_when_something_is_wrong_names_each_fault():
    sources = _result()["sources"] | {"silent": {"sent": 0}}
    said = verdict(
        _result(
            lost=1,
            duplicated=2,
            sources=sources,
            erp_rows={},
            agents={"targeted": 99, "answered": 97, "p99_ms": 1.0},
            checks={"passed": 1, "failed": 3},
        )
    )
    assert said == [
        "1 readings lost", "2 readings duplicated", "source silent sent nothing", "2 of 99 agents did not answer",
        "3 checks failed", "no ERP record was stored",
    ]  # fmt: skip


def test_source_results_when_readings_were_suppressed_they_are_not_lost():
    results = source_results(
        parse_yaml(CONFIG, Integrations, name="i.yaml"),
        sent={"dcs": 100},
        buffered={
            "dcs": SourceCounts(sent=30, buffered=30, other={"suppressed": 70}),
            "plc": SourceCounts(sent=20, buffered=20, other={"suppressed": 30}),
        },
        stored={"dcs": StoredCounts(stored=30), "plc": StoredCounts(stored=20)},
        in_gaps={},
    )
    assert [(result.sent, result.lost) for result in results.values()] == [(20, 0), (30, 0)]


def test_source_results_when_history_has_filled_a_gap_then_what_it_brought_is_stored():
    for sent in ({"dcs": 100}, {}):  # the plant has counted what was sent in the gap; the collector has not
        found = source_results(
            parse_yaml(CONFIG, Integrations, name="i.yaml"),
            sent=sent,
            buffered={"dcs": SourceCounts(sent=80, buffered=80)},
            stored={"dcs": StoredCounts(stored=80)},
            in_gaps={},
            filled={"dcs": StoredCounts(stored=20)},
        )["dcs"]
        assert (found.sent, found.stored, found.lost) == (100, 100, 0)
