"""How `gl rejected` shows rows: tables for people, JSON for programs; what a system sent is shown as plain text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resources.transport.text.foreign_text import foreign_text

console = Console(highlight=False)


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, nothing: str) -> None:
    """Print rows as a table of these columns, or all of them as one JSON array.

    Args:
        rows: What to show.
        columns: Columns of the table.
        as_json: JSON in place of a table.
        nothing: What is said where there are no rows.
    """
    if as_json:
        click.echo(json.dumps(rows, default=str))
    elif not rows:
        console.print(nothing)
    else:
        table = Table(*columns)
        for row in rows:
            table.add_row(*(cell(row[column]) for column in columns))
        console.print(table)


def cell(value: Any) -> str:
    """Return a value for a table."""
    if isinstance(value, list):
        return escape(foreign_text("; ".join(str(item) for item in value), limit=200))
    if isinstance(value, dict):
        return escape(foreign_text(json.dumps(value, default=str), limit=80))
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "" if value is None else escape(foreign_text(str(value), limit=80))


def line(name: str, value: Any, *, limit: int = 1000) -> None:
    """Print a name and what it is, on one line."""
    console.print(f"{name:15} {escape(foreign_text(str(value), limit=limit))}", soft_wrap=True)
