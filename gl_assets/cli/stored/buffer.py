"""`gl buffer`: what the window buffer holds, and replay of windows it still holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from resources.core.clock import SystemClock
from resources.core.process.home import gl_home
from resources.core.process.logs import setup_logging
from resources.core.windows import parse_partition_key, partition_key
from resources.window_buffer.model import BufferedWindow, BufferState
from resources.window_buffer.reader import BufferReader
from resources.window_buffer.replay import replay as replay_windows

_MOST_SHOWN = 20


def _folder() -> Path:
    return gl_home() / "buffer"


def _instant(_: click.Context, __: click.Parameter, value: str) -> datetime:
    """Read a partition key (UTC) or RFC 3339."""
    try:
        return parse_partition_key(value)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter("write 2026-11-22T10:15 (UTC) or 2026-11-22T10:15:00+01:00") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


@click.group()
def buffer() -> None:
    """Look into the collector's window buffer ($GL_HOME/buffer), and replay windows from it."""
    setup_logging("warning")


@buffer.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def stats(as_json: bool) -> None:
    """Show windows, revisions, rows, bytes, gaps, counts and alarms; works beside a running collector."""
    found = _stats(BufferReader(_folder()))
    if as_json:
        click.echo(json.dumps(found))
        return
    _show(found, Console(markup=False))


def _stats(reader: BufferReader) -> dict[str, Any]:
    windows, state, heartbeat = reader.windows(), reader.state(), reader.heartbeat()
    return {
        "folder": str(_folder()),
        "heartbeat": heartbeat.isoformat() if heartbeat else None,
        "heartbeat_age_s": (SystemClock().now() - heartbeat).total_seconds() if heartbeat else None,
        "oldest": partition_key(windows[0].window_start) if windows else None,
        "newest": partition_key(windows[-1].window_start) if windows else None,
        "rows": sum(window.rows for window in windows),
        **_state(state),
        "windows": [_window(window) for window in windows],
        "gaps": [
            {
                "source": gap.source,
                "since": gap.since.isoformat(),
                "until": gap.until.isoformat() if gap.until else None,
                "reason": gap.reason,
            }
            for gap in reader.gaps()
        ],
        "counts": {source: asdict(counts) for source, counts in reader.counts().items()},
    }


def _state(state: BufferState) -> dict[str, Any]:
    found = asdict(state)
    del found["pending_rows"]  # in the collector's memory: another process cannot know
    found["clock_alarms"] = [
        {"source": alarm.source, "since": alarm.since.isoformat(), "held_rows": alarm.held_rows}
        for alarm in state.clock_alarms
    ]
    return found


def _window(window: BufferedWindow) -> dict[str, Any]:
    return {
        "window": partition_key(window.window_start),
        "revision": window.revision,
        "stored_revision": window.stored_revision,
        "rows": window.rows,
        "bytes": window.bytes,
        "closed_at": window.closed_at.isoformat(),
        "complete": window.complete,
        "partial": window.partial,
        "open": window.is_open,
    }


def _show(found: dict[str, Any], console: Console) -> None:
    """Print tables that fit into 80 columns; everything in full is in the JSON."""
    console.print(_summary(found))
    if found["windows"]:
        shown = found["windows"][-_MOST_SHOWN:]
        title = f"Windows ({len(shown)} newest of {len(found['windows'])})"
        rows = [
            {
                "window": window["window"],
                "revision": window["revision"],
                "stored": window["stored_revision"],
                "rows": window["rows"],
                "KiB": f"{window['bytes'] / 1024:.0f}",
                "closed": _second(window["closed_at"])[11:],
                "state": _words_of(window),
            }
            for window in shown
        ]
        console.print(_table(title, rows))
    if found["counts"]:
        rows = [
            {"source": source, "sent": counts["sent"], "buffered": counts["buffered"], "besides": _besides(counts)}
            for source, counts in found["counts"].items()
        ]
        console.print(_table("Counts", rows))
    if found["gaps"]:
        shown = found["gaps"][-_MOST_SHOWN:]
        title = f"Gaps ({len(shown)} newest of {len(found['gaps'])})"
        rows = [gap | {"since": _second(gap["since"]), "until": _second(gap["until"])} for gap in shown]
        console.print(_table(title, rows))


def _second(instant: str | None) -> str:
    """Return an instant to the second, UTC."""
    return "-" if instant is None else f"{datetime.fromisoformat(instant).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _words_of(window: dict[str, Any]) -> str:
    found = [name for name in ("open", "partial") if window[name]]
    return ", ".join([*found, *([] if window["complete"] else ["incomplete"])]) or "complete"


def _besides(counts: dict[str, Any]) -> str:
    """Return the other counters in words, those that are not 0."""
    numbers = {name: n for name, n in counts.items() if name not in ("sent", "received", "buffered", "other")}
    return ", ".join(f"{name} {number}" for name, number in (numbers | counts["other"]).items() if number) or "-"


def _summary(found: dict[str, Any]) -> Table:
    table = Table(Column(), Column(overflow="fold"), title="Window buffer", show_header=False)
    for name in ("folder", "heartbeat", "held_windows", "oldest", "newest", "rows"):
        table.add_row(name, str(found[name] if found[name] is not None else "-"))
    table.add_row("bytes", f"{found['bytes']:,} of {found['max_bytes']:,}{' (FULL)' if found['full'] else ''}")
    table.add_row("dropped windows", f"{found['dropped_windows']} ({found['dropped_early']} early, by the disk cap)")
    alarms = [f"{a['source']} since {a['since']}, {a['held_rows']} held" for a in found["clock_alarms"]]
    table.add_row("clock alarms", "; ".join(alarms) or "none")
    table.add_row("clock steps", f"{found['clock_steps']} (last {found['last_clock_step_s']:+.1f} s)")
    table.add_row("damaged bytes", str(found["damaged_bytes"]))
    return table


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    # what is too long goes on in the next line: a number that is cut is a wrong number
    table = Table(*(Column(name, overflow="fold") for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row.values()))
    return table


@buffer.command()
@click.option(
    "--from", "since", required=True, callback=_instant, help="First instant: 2026-11-22T10:15 (UTC) or RFC 3339."
)
@click.option("--to", "until", required=True, callback=_instant, help="First instant after.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def replay(since: datetime, until: datetime, as_json: bool) -> None:
    """Store windows again: raise the revision of every held window that touches [FROM, TO).

    The closed_windows trigger then asks for them as for late data. Works beside a running collector, which does it
    within a second, and without one. Windows that are no longer held are named: backfill those from a historian.
    """
    if until <= since:
        raise click.BadParameter("--to must be after --from")
    console = Console(stderr=True)
    with console.status("waiting for the collector to raise the revisions"):
        outcome = replay_windows(_folder(), since, until)
    found: dict[str, Any] = {
        "raised": {partition_key(start): revision for start, revision in outcome.raised.items()},
        "still_open": [partition_key(start) for start in outcome.still_open],
        "not_held": [partition_key(start) for start in outcome.not_held],
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{len(found['raised'])} windows will be stored again")
    for key, revision in found["raised"].items():
        click.echo(f"  {key}  revision {revision}")
    _name("still open; they are stored when they close", found["still_open"])
    _name("no longer held; backfill them from a historian", found["not_held"])


def _name(what: str, keys: Any) -> None:
    if keys:
        click.echo(f"{len(keys)} windows {what}:")
        shown = [*keys[:_MOST_SHOWN], *(["..."] if len(keys) > _MOST_SHOWN else [])]
        click.echo("  " + " ".join(shown))
