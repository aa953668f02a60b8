"""The gates of `scada/sensor_readings`: what is asked of every stored window, each a sentence true when it passes.

A gate judges what is in the database after the window's transaction, not what the transaction meant to write. What
must never be stored at all is refused before, in the transaction itself (`gl_assets.scada.persist`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from gl_assets.asset_keys import SENSOR_READINGS
from resources.databases.timescale.gate_results import GAPS_GATE, GateResult, StoredWindowFacts
from resources.integrations import QualityConfig

ASSET = SENSOR_READINGS.to_user_string()
"""Name of the asset in `quality.gate_results`."""

STORED_GATE = "every_closed_window_is_stored"
"""Red while a window could not be stored however often it was tried: raised by the trigger, cleared by storing it."""

SOURCES_GATE = "every_source_sent_readings"
"""Remembers which sources were expected."""

REJECTED_GATE = "rejected_rows_are_below_the_limit"
"""The gate that a window refused for its rejected rows stands red on."""


_SHOWN = 5
"""Most gaps, and sensors of a gap, that a result names."""


@dataclass(frozen=True, slots=True)
class WindowUnderTest:
    """One window and what is known about it."""

    key: str
    collector: str
    facts: StoredWindowFacts
    expected_sources: tuple[str, ...]
    limits: QualityConfig


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says: passed or not, and the figures that led to it."""

    passed: bool
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: its name, what it asks, whether a failure holds the hour back, and the function that judges."""

    name: str
    description: str
    blocking: bool
    judge: Callable[[WindowUnderTest], Verdict]

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        """Structural gates are errors; gates of judgement warn."""
        return dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN


def _schema(window: WindowUnderTest) -> Verdict:
    return Verdict(not window.facts.faults, {"readings": window.facts.readings, "broken": dict(window.facts.faults)})


def _rejected_share(window: WindowUnderTest) -> Verdict:
    seen = window.facts.rows + window.facts.rejected
    share = window.facts.rejected / seen if seen else 0.0
    limits = window.limits
    return Verdict(
        share <= limits.warn_rejected_share,
        {
            "rejected": window.facts.rejected,
            "rows": seen,
            "share": round(share, 6),
            "warn_above": limits.warn_rejected_share,
            "not_stored_above": limits.max_rejected_share,
        },
    )


def _sources(window: WindowUnderTest) -> Verdict:
    missing = missing_sources(window)
    return Verdict(
        window.facts.partial or not missing,
        {"missing": missing, "expected": list(window.expected_sources), "partial": window.facts.partial},
    )


def _gaps(window: WindowUnderTest) -> Verdict:
    gaps = window.facts.gaps
    shown = [
        {
            "source": gap.source,
            "from": gap.since.isoformat(),
            "to": gap.until.isoformat(),
            "reason": gap.reason,
            **({"not_filled": gap.why_not} if gap.why_not else {}),
            **({"without_history": gap.without_history[:_SHOWN]} if gap.without_history else {}),
        }
        for gap in gaps[:_SHOWN]
    ]
    return Verdict(
        not gaps,
        {"gaps": len(gaps), "first": shown, "from_history": window.facts.from_history},
    )


def missing_sources(window: WindowUnderTest) -> list[str]:
    """Return the sources that were configured while the window was open and sent nothing."""
    return sorted(set(window.expected_sources) - set(window.facts.sources))


GATES: Sequence[Gate] = (
    Gate(
        "stored_readings_match_the_schema",
        "Every stored reading of the window obeys the table's schema. A failure holds the hour back until released.",
        blocking=True,
        judge=_schema,
    ),
    Gate(
        REJECTED_GATE,
        "The share of rejected rows is at most quality.warn_rejected_share; above quality.max_rejected_share the "
        "window is not stored at all.",
        blocking=False,
        judge=_rejected_share,
    ),
    Gate(
        SOURCES_GATE,
        "Every source configured while the window was open sent something; partial windows are exempt.",
        blocking=False,
        judge=_sources,
    ),
    Gate(
        GAPS_GATE,
        "Whenever a source was not collected within the window, its history has filled that since.",
        blocking=False,
        judge=_gaps,
    ),
)


def gate_specs() -> list[dg.AssetCheckSpec]:
    """Return the gates as Dagster check specs, without partitions: results of windows name theirs one by one."""
    return [
        dg.AssetCheckSpec(gate.name, asset=SENSOR_READINGS, description=gate.description, blocking=gate.blocking)
        for gate in GATES
    ]


def judge(window: WindowUnderTest, run_id: str) -> list[GateResult]:
    """Return what every gate says about a window, as rows of `quality.gate_results`."""
    results = []
    for gate in GATES:
        verdict = gate.judge(window)
        metadata = {**verdict.metadata, "collector": window.collector}
        results.append(
            GateResult(
                ASSET, window.key, window.facts.revision, gate.name, verdict.passed, gate.blocking, metadata, run_id
            )
        )
    return results


def evaluation(result: GateResult) -> dg.AssetCheckEvaluation:
    """Return a window's result as the event the Dagster UI shows for its partition."""
    severity = dg.AssetCheckSeverity.ERROR if result.blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckEvaluation(
        asset_key=SENSOR_READINGS,
        check_name=result.check,
        passed=result.passed,
        severity=severity,
        blocking=result.blocking,
        partition=result.partition,
        metadata={**result.metadata, "revision": result.revision},
    )


def summary(gate: Gate, results: Sequence[GateResult]) -> dg.AssetCheckResult:
    """Return one gate's result over all windows of a run; its metadata names the red ones."""
    own = [result for result in results if result.check == gate.name]
    red = [result.partition for result in own if not result.passed]
    return dg.AssetCheckResult(
        asset_key=SENSOR_READINGS,
        check_name=gate.name,
        passed=not red,
        severity=gate.severity,
        metadata={"windows": len(own), "red": len(red), "first_red": red[:5]},
    )
