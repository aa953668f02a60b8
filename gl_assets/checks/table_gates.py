"""The gates of a table that is small enough to be read back: schema, completeness, range, duplicates, score.

A table is data: its pandera schema, what identifies a row, what is expected of a partition. The gates are made of that,
the same for every table; `gated_tables` lists the tables, `table_checks` makes Dagster checks of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.errors
import pandera.pandas as pa

from gl_assets.checks.model import MOST_SHOWN, Finding, Gate, Verdict, at_least, at_most
from resources.core.configuration.gates import Effect, Kind

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """What the database holds of one partition, and what it should hold."""

    rows: Sequence[Mapping[str, Any]]
    revision: int = 1
    expected: int | None = None
    """How much should be there; None: nothing can be expected."""
    missing: Sequence[str] = ()
    """Names of what is expected and not there."""
    score: float | None = None
    """Quality score of the partition, 0 to 100; None: there is nothing to score."""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Name -> least and greatest value of its row in the columns that the table calls `limited`."""


def compared(expected: Collection[str], present: Collection[str]) -> dict[str, Any]:
    """Return how much is expected and what of it is missing, as fields of a `Part`."""
    return {"expected": len(expected), "missing": sorted(set(expected).difference(present))}


@dataclass(frozen=True, slots=True)
class GatedTable:
    """A table whose partitions are judged."""

    asset: dg.AssetKey
    noun: str
    """What its rows are called in the names of its checks, in the plural."""
    schema: type[pa.DataFrameModel]
    unique: tuple[str, ...]
    """Columns that identify a row."""
    complete_means: str
    """What completeness counts, as a sentence."""
    score_means: str
    """How the score comes about, as a sentence."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Column -> least and greatest plausible value; null is none."""
    named: str = ""
    """Column by which rows find limits of their own."""
    limited: tuple[str, ...] = ()
    """Columns that have limits of their own in each row."""
    own: Mapping[Kind, tuple[Effect, float]] = field(default_factory=dict)
    """Kind -> effect and limit, where they are not those of all tables."""

    @property
    def name(self) -> str:
        """The table's name in `quality.gate_results`."""
        return self.asset.to_user_string()


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What was found of one partition: the ground the gates judge on."""

    rows: int
    revision: int
    broken: Finding
    outside: Finding
    repeated: Finding
    expected: int | None
    missing: Sequence[str]
    score: float | None


def facts_of(table: GatedTable, part: Part) -> TableFacts:
    """Return what a partition's rows are worth."""
    frame = as_frame(part.rows, table.schema)
    repeated = frame.duplicated(list(table.unique), keep=False).to_numpy()
    return TableFacts(
        rows=len(frame),
        revision=part.revision,
        broken=_broken(frame, table.schema),
        outside=_finding(frame, _outside(frame, table.ranges) | _beyond(frame, table, part.limits)),
        repeated=_finding(frame, repeated),
        expected=part.expected,
        missing=part.missing,
        score=part.score,
    )


def gates_of_table(table: GatedTable) -> list[Gate[TableFacts]]:
    """Return the five gates of a table, as they are where the configuration says nothing of them."""
    noun = table.noun
    gates: list[Gate[TableFacts]] = [
        Gate(
            f"{noun}_match_the_schema",
            "Every row of the partition obeys the table's schema.",
            _schema,
            "schema",
            effect="block",
        ),
        Gate(f"{noun}_are_complete", f"{table.complete_means} The limit is a share.", _complete, "completeness", 0.9),
        Gate(
            f"{noun}_are_within_their_limits",
            f"Values are plausible: {_ranges(table)}.",
            _range,
            "range",
        ),
        Gate(
            f"{noun}_stand_once",
            f"No two rows have the same {' and '.join(table.unique)}.",
            _once,
            "duplicates",
            effect="block",
        ),
        Gate(f"{noun}_score_high_enough", f"{table.score_means} The limit is of 100.", _score, "score", 60.0),
    ]
    return [
        replace(gate, effect=table.own[gate.kind][0], limit=table.own[gate.kind][1]) if gate.kind in table.own else gate
        for gate in gates
    ]


def _ranges(table: GatedTable) -> str:
    told = [f"{name} from {low:g} to {high:g}" for name, (low, high) in table.ranges.items()]
    told += [f"{' and '.join(table.limited)} within the limits of the tag"] if table.limited else []
    return ", ".join(told)


def _schema(facts: TableFacts, limit: float) -> Verdict:
    return at_most(_with_rows(facts, facts.broken), limit)


def _range(facts: TableFacts, limit: float) -> Verdict:
    return at_most(_with_rows(facts, facts.outside), limit)


def _once(facts: TableFacts, limit: float) -> Verdict:
    return at_most(_with_rows(facts, facts.repeated), limit)


def _complete(facts: TableFacts, limit: float) -> Verdict:
    share = 1 - len(facts.missing) / facts.expected if facts.expected else None
    first = {"first": [{"missing": name} for name in facts.missing[:MOST_SHOWN]]} if facts.missing else {}
    return at_least(share, limit, rows=facts.rows, expected=facts.expected or 0, missing=len(facts.missing), **first)


def _score(facts: TableFacts, limit: float) -> Verdict:
    return at_least(facts.score, limit, rows=facts.rows)


def _with_rows(facts: TableFacts, found: Finding) -> Finding:
    return replace(found, figures={"rows": facts.rows, **found.figures})


def as_frame(rows: Sequence[Mapping[str, Any]], schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    """Return rows of the database with the types that a schema asks for; what does not become one stays as it is."""
    columns = schema.to_schema().columns
    frame = pd.DataFrame([dict(row) for row in rows], columns=list(columns), dtype=object)
    for name, column in columns.items():
        kind = str(column.dtype)
        if kind.startswith("datetime64"):
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.as_unit("us")
        elif kind == "float64":
            frame[name] = frame[name].astype("float64")
        elif kind in ("int64", "int32") and not frame[name].isna().any():
            frame[name] = frame[name].astype(kind)
    return frame


def _broken(frame: pd.DataFrame, schema: type[pa.DataFrameModel]) -> Finding:
    if frame.empty:
        return Finding(0)
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        rows = sorted({int(index) for index in cases["index"].dropna()})
        # a fault of a whole column has no row
        whole = int(cases["index"].isna().sum())
        counts = cases["check"].astype(str).value_counts().head(MOST_SHOWN)
        figures = {"broken": {str(check): int(count) for check, count in counts.items()}}
        return Finding(len(rows) + whole, _plain(frame.loc[rows[:MOST_SHOWN]]), figures)
    return Finding(0)


def _beyond(frame: pd.DataFrame, table: GatedTable, limits: Mapping[str, tuple[float, float]]) -> Mask:
    """Return which rows lie beyond limits of their own."""
    if not limits:
        return np.zeros(len(frame), dtype=bool)
    bounds = np.array([limits.get(name, (-np.inf, np.inf)) for name in frame[table.named]]).reshape(-1, 2)
    values = frame[list(table.limited)].to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):
        beyond = (values < bounds[:, :1]) | (values > bounds[:, 1:])
    return np.asarray(beyond.any(axis=1), dtype=np.bool_)


def _outside(frame: pd.DataFrame, ranges: Mapping[str, tuple[float, float]]) -> Mask:
    outside = np.zeros(len(frame), dtype=bool)
    for name, (low, high) in ranges.items():
        values = frame[name].to_numpy(dtype=np.float64)
        with np.errstate(invalid="ignore"):
            outside |= (values < low) | (values > high)
    return outside


def _finding(frame: pd.DataFrame, failing: Mask) -> Finding:
    return Finding(int(np.count_nonzero(failing)), _plain(frame[failing].head(MOST_SHOWN)))


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON can hold them."""
    return [{str(name): _value(value) for name, value in row.items()} for row in rows.to_dict("records")]


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value.item() if isinstance(value, np.generic) else value if value is None else _text(value)


def _text(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) else str(value)
