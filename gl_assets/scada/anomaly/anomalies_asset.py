"""The asset `scada/anomalies`: what the detectors of all equipment find in each stored window."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import dagster as dg
import psycopg

from gl_assets.asset_keys import ANOMALIES, ANOMALY_MODELS, SENSOR_READINGS
from gl_assets.checks.holding import refuse_held
from gl_assets.checks.model import Finding, Gate, Verdict, at_most, in_force, specs
from gl_assets.checks.reports import evaluation, summary
from gl_assets.partition_range import MOST_PARTITIONS, told_in_words, work_through
from gl_assets.partitions import quiet_beta, window_partitions
from gl_assets.scada.anomaly.charts import anomalies_table, window_chart
from gl_assets.scada.anomaly.scoring import Scored, Watched, score_window
from gl_assets.scada.columns import ANOMALIES_COLUMNS
from resources.core.windows import parse_partition_key
from resources.databases.timescale.anomaly.anomalies import recent_shares, replace_window, window_revisions
from resources.databases.timescale.anomaly.anomaly_models import newest_models
from resources.databases.timescale.quality.gate_results import GateResult, record_results
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

ASSET = ANOMALIES.to_user_string()

DESCRIPTION = """Where equipment was not as in training: stretches in which its sensors together deviate, with each
sensor's share in it, single values far from what came before, and lasting changes of level. One partition is one
window, scored after `scada/sensor_readings` with the newest detectors, and again after a late revision."""

FIT_OVER = timedelta(days=1)
"""Time before a window's end over which detectors are asked whether they still fit."""

MOST_ANOMALOUS = 0.5
"""Share of rows within anomalies above which detectors no longer describe their equipment."""

Shares = Mapping[str, tuple[int, int]]
"""Equipment -> rows scored, and rows within anomalies."""


def _fit(shares: Shares, limit: float) -> Verdict:
    wrong = [
        {"equipment": name, "rows": rows, "anomalous_share": round(anomalous / rows, 4)}
        for name, (rows, anomalous) in shares.items()
        if rows and anomalous / rows > MOST_ANOMALOUS
    ]
    figures: dict[str, Any] = {"equipment": len(shares), "most_anomalous_share": MOST_ANOMALOUS}
    if wrong:
        figures["remedy"] = "`gl anomalies train EQUIPMENT`, over a span in which it ran as it should"
    return at_most(Finding(len(wrong), wrong, figures), limit)


GATES: Sequence[Gate[Shares]] = (
    Gate(
        "detectors_fit_their_equipment",
        "Over the day before the window's end at most half of each equipment's rows lie within anomalies: more means "
        "that the equipment now runs as it did not in training.",
        _fit,
        "range",
    ),
)


@dataclass(slots=True)
class AnomaliesWriter:
    """Scores the windows of one run and reports each as it commits."""

    context: dg.AssetExecutionContext
    config: Integrations
    connection: psycopg.Connection
    gates: Sequence[Gate[Shares]]
    results: list[GateResult] = field(default_factory=list)
    equipment: Mapping[str, Mapping[str, str]] = field(init=False)
    """Equipment -> sensor -> canonical unit, as configured."""
    watched: Sequence[Watched] = field(init=False)
    untrained: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        """Read the detectors in force."""
        self.equipment = self.config.anomalies.equipment(self.config.tags().values())
        stored = newest_models(self.connection, site=self.config.site, equipment=list(self.equipment))
        self.watched = [Watched.of(model) for model in stored.values()]
        self.untrained = sorted(set(self.equipment) - set(stored))

    def write(self, key: str) -> None:
        """Score one window, store and report what was found.

        Raises:
            HeldBackError: A blocking gate of the window's readings is red and nobody has released it.
        """
        start, site, run_id = parse_partition_key(key), self.config.site, self.context.run.run_id
        with self.connection.transaction():
            refuse_held(self.connection, SENSOR_READINGS, [key], f"{ASSET} {key}")
            # read before the rows: a window stored meanwhile makes this one due again
            revision = window_revisions(self.connection, site=site, since=start, until=start + self.config.window).get(
                start, 0
            )
            scored = [self._score(watched, key, revision) for watched in self.watched]
            rows = [row for one in scored for row in one.rows]
            replace_window(self.connection, start, rows, [one.ledger for one in scored], site=site, run_id=run_id)
            results = self._judge(key, revision)
        self.results.extend(results)
        self.context.log_event(
            dg.AssetMaterialization(ANOMALIES, partition=key, metadata=self._metadata(scored, revision))
        )
        for result in results:
            self.context.log_event(evaluation(result))

    def _score(self, watched: Watched, key: str, revision: int) -> Scored:
        return score_window(
            self.connection,
            self.config,
            watched,
            parse_partition_key(key),
            units=self.equipment[watched.equipment],
            revision=revision,
        )

    def _judge(self, key: str, revision: int) -> list[GateResult]:
        end = parse_partition_key(key) + self.config.window
        shares = recent_shares(self.connection, site=self.config.site, since=end - FIT_OVER, until=end)
        verdicts = [(gate, gate.judge(shares, gate.limit)) for gate in self.gates]
        return record_results(
            self.connection,
            [
                GateResult(
                    ASSET, key, revision, gate.name, said.passed, gate.blocking, said.metadata, self.context.run.run_id
                )
                for gate, said in verdicts
            ],
        )

    def _metadata(self, scored: Sequence[Scored], revision: int) -> dict[str, Any]:
        rows = [row for one in scored for row in one.rows]
        metadata: dict[str, Any] = {
            "dagster/row_count": len(rows),
            "anomalies": len(rows),
            "equipment": len(scored),
            "not_trained_yet": self.untrained,
            "rows": sum(one.ledger.rows for one in scored),
            "anomalous_rows": sum(one.ledger.anomalous for one in scored),
            "greatest_distance": round(max((one.peak for one in scored), default=0.0), 4),
            "revision": revision,
        }
        if rows:
            metadata["found"] = anomalies_table(rows)
        if scored:
            metadata["distance"] = window_chart(scored)
        return metadata


def build_anomalies(config: Integrations) -> list[dg.AssetsDefinition]:
    """Return the asset for this configuration's windows, in a list that is empty where no equipment is watched."""
    if not config.anomalies.equipment(config.tags().values()):
        return []
    gates = in_force(GATES, ASSET, config.quality.gates)
    with quiet_beta():

        @dg.asset(
            key=ANOMALIES,
            group_name="scada",
            deps=[SENSOR_READINGS, ANOMALY_MODELS],
            partitions_def=window_partitions(config),
            backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MOST_PARTITIONS),
            check_specs=specs(gates, ANOMALIES),
            output_required=False,  # each window reports itself as it commits
            owners=["team:data-engineering"],
            kinds={"timescaledb", "python", "numpy"},
            description=DESCRIPTION,
            metadata={
                "dagster/column_schema": ANOMALIES_COLUMNS,
                "dagster/table_name": "scada.anomalies",
                "site": config.site,
            },
        )
        def anomalies(context: dg.AssetExecutionContext, timescale: TimescaleResource) -> Iterator[dg.AssetCheckResult]:
            """Score the windows of the run's range, newest first."""
            with told_in_words(), timescale.connection() as connection:
                connection.autocommit = True  # one transaction per window
                writer = AnomaliesWriter(context, config, connection, gates)
                outcome = work_through(context.partition_keys, writer.write)
            outcome.raise_if_failed()
            yield from (summary(gate, ANOMALIES, writer.results) for gate in gates)

    return [anomalies]
