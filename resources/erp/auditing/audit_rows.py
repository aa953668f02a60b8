"""The rows of standard ERP tables that a check fails for: the first few, to be looked at; and all, to be judged again.

As `resources.erp.auditing.audit`: a part is business days, or None for master data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from resources.erp.auditing.audit import Connection, Days, part_of
from resources.erp.standardised.incoming import StandardTable

AT_ONCE = 31
"""Business days whose rows are read at once: what judging them takes of memory stays small."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Which rows fail: a condition in SQL over the rows of a part, the columns that show why, and its parameters."""

    condition: sql.Composable
    columns: Sequence[str]
    values: Mapping[str, Any] = field(default_factory=dict)
    order: Sequence[str] = ("source_key",)


def listed(columns: Sequence[str]) -> sql.Composed:
    """Return names of columns as a list."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def repeated(columns: Sequence[str]) -> Failing:
    """Return the rows that say of `columns` what another row of their part says."""
    condition = sql.SQL("num_nulls({0}) = 0 AND count(*) OVER (PARTITION BY {0}) > 1").format(listed(columns))
    return Failing(condition, columns, order=columns)


def mixed(per: Sequence[str], column: str) -> Failing:
    """Return the rows that are equal in `per` and differ in `column`."""
    condition = sql.SQL("min({0}) OVER (PARTITION BY {1}) IS DISTINCT FROM max({0}) OVER (PARTITION BY {1})").format(
        sql.Identifier(column), listed(per)
    )
    return Failing(condition, [*per, column], order=per)


def unbalanced(per: Sequence[str], amount: str, systems: Sequence[str]) -> Failing:
    """Return the rows of `systems` whose amounts, of those equal in `per`, do not sum to 0."""
    condition = sql.SQL("abs(sum({}) OVER (PARTITION BY {})) > 0.0005 AND system = ANY(%(systems)s)").format(
        sql.Identifier(amount), listed(per)
    )
    return Failing(condition, [*per, amount], {"systems": list(systems)}, per)


def outside(columns: Sequence[str], business_date: str | None, years: Mapping[str, int]) -> Failing:
    """Return the rows with a date so many years `before` or `after` the business day, or today."""
    origin = sql.Identifier(business_date) if business_date else sql.SQL("current_date")
    condition = sql.SQL(" OR ").join(
        sql.SQL(
            "{0} < {1} - make_interval(years => %(before)s) OR {0} > {1} + make_interval(years => %(after)s)"
        ).format(sql.Identifier(column), origin)
        for column in columns
    )
    return Failing(sql.SQL("({})").format(condition), columns, years)


def too_fine(amount: str, currency: str, decimals: Mapping[str, int]) -> Failing:
    """Return the rows whose amount has more decimals than its currency."""
    condition = sql.SQL("scale(trim_scale({})) > coalesce((%(decimals)s::jsonb ->> {})::int, 0)").format(
        sql.Identifier(amount), sql.Identifier(currency)
    )
    return Failing(condition, [amount, currency], {"decimals": _json(decimals)})


def lowest(columns: Sequence[str]) -> Failing:
    """Return the rows with the lowest scores."""
    return Failing(sql.SQL("true"), ["quality_score", *columns], order=("quality_score", "source_key"))


def first_rows(
    connection: Connection, table: StandardTable, failing: Failing, day: date | None, limit: int
) -> list[dict[str, Any]]:
    """Return the first rows of a part that fail, as JSON can hold them: key and the columns that show why."""
    names = list(dict.fromkeys(["system", "source_key", *failing.columns]))
    _, part = part_of(table, None if day is None else [day])
    statement = sql.SQL(
        "SELECT {columns} FROM (SELECT *, {condition} AS failing FROM {table} WHERE {part}) judged"
        " WHERE failing ORDER BY {order} LIMIT %(limit)s"
    ).format(
        columns=listed(names),
        condition=failing.condition,
        table=sql.Identifier("erp", table.name),
        part=part,
        order=listed(failing.order),
    )
    rows = connection.execute(statement, {**failing.values, "days": [day], "limit": limit}).fetchall()
    return [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]


def rejected_rows(
    connection: Connection, feeds: Sequence[tuple[str, str]], day: date | None, limit: int
) -> list[dict[str, Any]]:
    """Return the first rejected records of a part: system, key, reasons."""
    part = sql.SQL("partition_date IS NULL" if day is None else "partition_date = %(day)s")
    statement = sql.SQL(
        "SELECT system, source_key, reasons FROM erp.rejected_records WHERE (system, dataset)"
        " IN (SELECT * FROM unnest(%(systems)s::text[], %(datasets)s::text[])) AND {}"
        " ORDER BY rejected_id LIMIT %(limit)s"
    ).format(part)
    values = {"systems": [f[0] for f in feeds], "datasets": [f[1] for f in feeds], "day": day, "limit": limit}
    rows = connection.execute(statement, values).fetchall()
    return [{"system": system, "source_key": key, "reasons": "; ".join(found)} for system, key, found in rows]


def stored_rows(connection: Connection, table: StandardTable, schema: pa.Schema, days: Days) -> Iterator[pa.Table]:
    """Yield the rows of the parts, some days at once, in the types of `schema`.

    Raises:
        pyarrow.ArrowInvalid: A value is none of its type, such as a number with more than nine decimals.
    """
    starts = [None] if days is None else range(0, len(days), AT_ONCE)
    for start in starts:
        some = None if days is None or start is None else [*days][start : start + AT_ONCE]
        yield _read(connection, table, schema, some)


def _read(connection: Connection, table: StandardTable, schema: pa.Schema, days: Days) -> pa.Table:
    instants = {found.name for found in schema if pa.types.is_timestamp(found.type)}
    columns = [
        sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint" if found.name in instants else "{}").format(
            sql.Identifier(found.name)
        )
        for found in schema
    ]
    part: sql.Composable = sql.SQL("true")
    if days is not None and table.business_date is not None:
        part = sql.SQL("{} = ANY({}::date[])").format(sql.Identifier(table.business_date), sql.Literal(list(days)))
    statement = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT CSV, FORCE_QUOTE *)").format(
        sql.SQL(", ").join(columns), sql.Identifier("erp", table.name), part
    )
    text = BytesIO()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in copy:
            text.write(block)
    if not text.tell():
        return schema.empty_table()
    text.seek(0)
    types = {found.name: pa.int64() if found.name in instants else found.type for found in schema}
    read = pa_csv.read_csv(
        text,
        read_options=pa_csv.ReadOptions(column_names=schema.names, use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            # every value is quoted and no null is, which is how the two are told apart
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return read.cast(schema)


def _json(held: Mapping[str, int]) -> str:
    return orjson.dumps(dict(held)).decode()


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else str(value)
