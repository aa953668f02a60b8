"""What the standard ERP tables hold, counted in the database: rows that repeat, contradict or cannot be right.

As `resources.erp.auditing.audit`: by day, for master data under None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from psycopg import sql

from resources.erp.auditing.audit import Connection, Days, part_of
from resources.erp.standardised.incoming import StandardTable


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def repeated_rows(
    connection: Connection, table: StandardTable, columns: Sequence[str], days: Days
) -> dict[date | None, int]:
    """Return how many rows say of the same `columns` what another row says; those with one missing are not compared."""
    day, part = part_of(table, days)
    statement = sql.SQL(
        "SELECT day, sum(n - 1)::bigint FROM (SELECT {day} AS day, count(*) AS n FROM {table}"
        " WHERE {part} AND num_nulls({columns}) = 0 GROUP BY {day}, {columns} HAVING count(*) > 1) found GROUP BY day"
    ).format(day=day, table=sql.Identifier("erp", table.name), part=part, columns=_listed(columns))
    return dict(connection.execute(statement, {"days": days}).fetchall())


def mixed_values(
    connection: Connection, table: StandardTable, per: Sequence[str], column: str, days: Days
) -> dict[date | None, int]:
    """Return how many groups of rows, `per` some columns, have more than one value of `column`."""
    day, part = part_of(table, days)
    statement = sql.SQL(
        "SELECT day, count(*) FROM (SELECT {day} AS day FROM {table} WHERE {part} GROUP BY {day}, {per}"
        " HAVING count(DISTINCT {column}) > 1) found GROUP BY day"
    ).format(
        day=day, table=sql.Identifier("erp", table.name), part=part, per=_listed(per), column=sql.Identifier(column)
    )
    return dict(connection.execute(statement, {"days": days}).fetchall())


def unbalanced_groups(
    connection: Connection, table: StandardTable, per: Sequence[str], amount: str, part: tuple[Sequence[str], Days]
) -> dict[date | None, list[tuple[Any, ...]]]:
    """Return the groups of rows of some systems whose amounts do not sum to 0: (difference, *per), the largest first.

    Args:
        connection: Where.
        table: The table.
        per: Columns that make a group.
        amount: Column that is summed; half of the smallest minor unit is no difference.
        part: Systems, and the days.
    """
    systems, days = part
    day, condition = part_of(table, days)
    statement = sql.SQL(
        "SELECT {day}, sum({amount}) AS difference, {per} FROM {table} WHERE {part} AND system = ANY(%(systems)s)"
        " GROUP BY {day}, {per} HAVING abs(sum({amount})) > 0.0005 ORDER BY abs(sum({amount})) DESC"
    ).format(
        day=day,
        table=sql.Identifier("erp", table.name),
        part=condition,
        per=_listed(per),
        amount=sql.Identifier(amount),
    )
    found: dict[date | None, list[tuple[Any, ...]]] = {}
    for row in connection.execute(statement, {"days": days, "systems": list(systems)}):
        found.setdefault(row[0], []).append(row[1:])
    return found


def mean_completeness(
    connection: Connection, table: StandardTable, weights: Mapping[str, float], days: Days, *, unknown: str
) -> dict[date | None, tuple[int, float]]:
    """Return the number of rows and the mean of what is known of them, 0 to 1.

    Args:
        connection: Where.
        table: The table.
        weights: Column -> what its absence takes; they sum to 1.
        days: The part.
        unknown: The text that stands for no value.
    """
    day, part = part_of(table, days)
    known = sql.SQL(" + ").join(
        sql.SQL("{weight} * ({column} IS NOT NULL AND {column}::text <> {unknown})::int").format(
            weight=sql.Literal(weight), column=sql.Identifier(name), unknown=sql.Literal(unknown)
        )
        for name, weight in weights.items()
    )
    statement = sql.SQL("SELECT {}, count(*), avg({}) FROM {} WHERE {} GROUP BY 1").format(
        day, known, sql.Identifier("erp", table.name), part
    )
    return {row[0]: (row[1], float(row[2])) for row in connection.execute(statement, {"days": days}) if row[1]}


def rows_outside(
    connection: Connection, table: StandardTable, columns: Sequence[str], days: Days, years: Mapping[str, int]
) -> dict[date | None, dict[str, int]]:
    """Return, by column, how many dates lie further from the business day than so many years.

    Master data has no business day: today is taken. `years` has the entries `before` and `after`.
    """
    day, part = part_of(table, days)
    counts = sql.SQL(", ").join(
        sql.SQL(
            "count(*) FILTER (WHERE {0} < origin - make_interval(years => %(before)s)"
            " OR {0} > origin + make_interval(years => %(after)s))"
        ).format(sql.Identifier(column))
        for column in columns
    )
    statement = sql.SQL(
        "SELECT {day}, {counts} FROM {table}, LATERAL (SELECT coalesce({day}, current_date) AS origin) at"
        " WHERE {part} GROUP BY 1"
    ).format(day=day, counts=counts, table=sql.Identifier("erp", table.name), part=part)
    rows = connection.execute(statement, {"days": days, **years})
    return {
        row[0]: {name: count for name, count in zip(columns, row[1:], strict=True) if count}
        for row in rows
        if any(row[1:])
    }


def places_by_currency(
    connection: Connection, table: StandardTable, amount: str, currency: str, days: Days
) -> dict[date | None, dict[tuple[str, int], int]]:
    """Return how many amounts of a currency have so many decimals: (currency, decimals) -> rows."""
    day, part = part_of(table, days)
    statement = sql.SQL(
        "SELECT {day}, {currency}, scale(trim_scale({amount})), count(*) FROM {table} WHERE {part}"
        " AND {amount} IS NOT NULL AND {currency} IS NOT NULL GROUP BY 1, 2, 3"
    ).format(
        day=day,
        table=sql.Identifier("erp", table.name),
        part=part,
        amount=sql.Identifier(amount),
        currency=sql.Identifier(currency),
    )
    found: dict[date | None, dict[tuple[str, int], int]] = {}
    for of_day, code, places, rows in connection.execute(statement, {"days": days}):
        found.setdefault(of_day, {})[code, places] = rows
    return found


def absent_values(
    connection: Connection,
    table: StandardTable,
    column: str,
    expected: Mapping[str, Sequence[str]],
    days: Sequence[date],
) -> dict[date | None, list[str]]:
    """Return which values of `column` that are expected of a system, no row of it has, on days that it was pulled."""
    statement = sql.SQL(
        "SELECT part.day, named.value FROM unnest(%(days)s::date[]) AS part (day)"
        " CROSS JOIN unnest(%(systems)s::text[], %(values)s::text[]) AS named (system, value)"
        " WHERE EXISTS (SELECT FROM {table} held WHERE held.system = named.system AND held.{day} = part.day)"
        " AND NOT EXISTS (SELECT FROM {table} held WHERE held.system = named.system AND held.{day} = part.day"
        "  AND held.{column} = named.value) ORDER BY 1, 2"
    ).format(
        table=sql.Identifier("erp", table.name),
        day=sql.Identifier(str(table.business_date)),
        column=sql.Identifier(column),
    )
    values = [(system, value) for system, named in expected.items() for value in named]
    terms = {"days": list(days), "systems": [v[0] for v in values], "values": [v[1] for v in values]}
    found: dict[date | None, list[str]] = {}
    for of_day, value in connection.execute(statement, terms):
        found.setdefault(of_day, []).append(value)
    return found
