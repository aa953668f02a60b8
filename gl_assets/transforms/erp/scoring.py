"""How good a record is, and how good the records of a part are together: 0 to 100, in four dimensions.

| dimension | points | of a row |
|---|---|---|
| validity | 40 | share of the table's judgements of single values that hold |
| completeness | 30 | 1 less the weights of what is missing; the weights stand in the schema and sum to 1 |
| consistency | 20 | share of the table's judgements of values together that hold |
| uniqueness | 10 | 0 where another row of the same pull says the same, else 1 |

Which judgements a table has: `gl_assets.transforms.erp.record_rules`. Where it has none, the dimension is whole.

Of a part, a dimension is the mean over its records, and the score the weighted sum of the dimensions, as for readings
(`gl_assets.transforms.pipeline.partitions`): a rejected record has nothing of the first three, but counts as unique; a
record that a server sent twice counts once more in uniqueness, with nothing. A part without records has no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import TEXT, WEIGHT
from gl_assets.transforms.erp.meters import UNKNOWN
from gl_assets.transforms.erp.record_rules import RecordRules
from gl_assets.transforms.erp.row_rules import RowRule
from gl_assets.transforms.pipeline.score import WEIGHTS

Shares = npt.NDArray[np.float64]

POINTS = dict(zip(("validity", "completeness", "consistency", "uniqueness"), WEIGHTS.tolist(), strict=True))
"""Dimension -> its share of the score of 100."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Records counted, by dimension; tallies of several feeds add up to that of their table."""

    rows: int = 0
    rejected: int = 0
    repeated: int = 0
    """Records that were sent more than once."""
    sums: Shares = field(default_factory=lambda: np.zeros(len(POINTS)))
    """Of the rows' shares, in the order of POINTS."""
    defects: dict[str, int] = field(default_factory=dict)
    """Sentence of a rule -> rows that break it; rejected records are not among them."""

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        defects = {
            says: self.defects.get(says, 0) + other.defects.get(says, 0) for says in {**self.defects, **other.defects}
        }
        return Tally(
            self.rows + other.rows,
            self.rejected + other.rejected,
            self.repeated + other.repeated,
            self.sums + other.sums,
            defects,
        )

    @property
    def records(self) -> int:
        """How many records there are, rejected ones among them."""
        return self.rows + self.rejected

    def dimensions(self) -> dict[str, float]:
        """Return each dimension, 0 to 100; there is at least one record."""
        seen = self.records
        has = self.sums + np.array([0, 0, 0, self.rejected])
        means = 100 * has / np.maximum(1, [seen, seen, seen, seen + self.repeated])
        return {name: float(np.clip(mean, 0, 100)) for name, mean in zip(POINTS, means, strict=True)}

    def score(self) -> float:
        """Return the score, 0 to 100."""
        return float(sum(POINTS[name] * value / 100 for name, value in self.dimensions().items()))


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows with their scores, and what they and the rejected ones count for their part."""

    rows: pd.DataFrame
    tally: Tally


def score(
    rows: pd.DataFrame, schema: DataFrameSchema, rules: RecordRules, *, rejected: int = 0, repeated: int = 0
) -> Scored:
    """Return standard rows with their `quality_score`.

    Args:
        rows: Rows that keep their schema, of one pull; the score they come with does not count.
        schema: The table, for the weights of its columns.
        rules: The table's judgements.
        rejected: Records of the part that are no rows.
        repeated: Records of the part that were sent more than once.
    """
    defects: dict[str, int] = {}
    shares = np.stack(
        [
            _kept(rows, rules.validity, defects),
            completeness(rows, schema),
            _kept(rows, rules.consistency, defects),
            np.floor(_kept(rows, rules.uniqueness, defects)),
        ]
    )
    points = np.round(np.array(list(POINTS.values())) @ shares, 4).astype(np.float32)
    scored = rows.assign(quality_score=pd.Series(pa.array(points), index=rows.index, dtype=schema_score(schema)))
    return Scored(scored, Tally(len(rows), rejected, repeated, shares.sum(axis=1), defects))


def completeness(rows: pd.DataFrame, schema: DataFrameSchema) -> Shares:
    """Return of each row 1 less the weights of what is not known of it, 0 to 1."""
    known = np.ones(len(rows))
    for name, weight in weights(schema).items():
        missing = rows[name].isna().to_numpy(dtype=bool)
        if schema.columns[name].dtype.type == TEXT:
            missing = missing | (rows[name] == UNKNOWN).to_numpy(dtype=bool, na_value=False)
        known -= weight * missing
    return np.clip(np.round(known, 6), 0, 1)


def weights(schema: DataFrameSchema) -> dict[str, float]:
    """Return column -> what its absence takes from the completeness of a row."""
    found = {name: (column.metadata or {}).get(WEIGHT, 0.0) for name, column in schema.columns.items()}
    return {name: weight for name, weight in found.items() if weight}


def schema_score(schema: DataFrameSchema) -> pd.ArrowDtype:
    """Return the type of the score's column."""
    found: pd.ArrowDtype = schema.columns["quality_score"].dtype.type
    return found


def _kept(rows: pd.DataFrame, rules: Sequence[RowRule], defects: dict[str, int]) -> Shares:
    """Return the share of rules that each row keeps; count those that are broken."""
    kept = np.ones(len(rows))
    for rule in rules:
        broken = rule.broken(rows)
        kept -= broken / len(rules)
        if broken.any():
            defects[rule.says] = int(broken.sum())
    return np.clip(np.round(kept, 9), 0, 1)
