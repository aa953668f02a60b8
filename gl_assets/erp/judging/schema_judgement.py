"""Whether stored rows keep the schema of their table: read back and validated, some days at once. No Dagster.

What breaks the schema is rejected on the way in; what is found here came another way: a statement by hand, a restored
backup, a rule that was added since.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa

from gl_assets.erp.judging.model import Rows, Verdicts
from gl_assets.erp.judging.scope import MOST_SHOWN, Scope
from gl_assets.transforms.erp.validation import judge
from resources.erp.auditing.audit_rows import stored_rows

NOTHING = pd.Series({}, dtype="object")


@dataclass
class _Broken:
    """What was found of a part."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[dict[str, Any]] = field(default_factory=list)


def keep_the_schema(scope: Scope) -> Verdicts:
    """Judge whether every stored row obeys its schema."""
    found = _broken(scope)
    wrong = {part: {"rows": held.rows, "broken": dict(held.reasons.most_common())} for part, held in found.items()}
    return scope.all_passed_but(wrong, {"rows": 0}, {part: held.rows for part, held in found.items()})


def rows_that_break_it(scope: Scope, part: date | None) -> Rows:
    """Return the first rows of a part that break the schema, with their reasons."""
    only = Scope(scope.connection, scope.table, scope.feeds, None if part is None else [part])
    found = _broken(only).get(part)
    return found.first if found else []


def _broken(scope: Scope) -> dict[date | None, _Broken]:
    found: dict[date | None, _Broken] = {}
    for frame in _frames(scope):
        judged = judge(frame, scope.table.schema, NOTHING)
        wrong = frame.loc[judged.reasons.index]
        parts = wrong[scope.stored.business_date] if scope.stored.business_date else [None] * len(wrong)
        columns = (parts, wrong["system"], wrong["source_key"], judged.reasons)
        for part, system, key, reasons in zip(*columns, strict=True):
            held = found.setdefault(part, _Broken())
            held.rows += 1
            held.reasons.update(reason.partition(" (found")[0] for reason in reasons)
            if len(held.first) < MOST_SHOWN:
                held.first.append({"system": system, "source_key": key, "reasons": "; ".join(reasons)})
    return found


def _frames(scope: Scope) -> Iterator[pd.DataFrame]:
    schema = pa.schema([(name, column.dtype.type.pyarrow_dtype) for name, column in scope.table.schema.columns.items()])
    for rows in stored_rows(scope.connection, scope.stored, schema, scope.days):
        frame = rows.to_pandas(types_mapper=pd.ArrowDtype)
        # keys are those of a system: two may use the same
        for system in frame["system"].unique():
            yield frame[frame["system"] == system].reset_index(drop=True)
