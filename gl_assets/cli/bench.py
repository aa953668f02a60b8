"""`gl bench`: the benchmarks, each figure a ratio against a bare limit or a rival measured in the same run."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from resources.core.errors import ConfigError

PARTS = ("persist", "layout", "reads", "others")
SCADA_PARTS = ("opcua", "mqtt", "modbus", "pool")
ERP_PARTS = ("pull", "land", "memory", "dlt")
AGENTS_PARTS = ("fanout", "message", "throughput", "capability", "thousand")
TARGETS_PARTS = ("readings", "erp", "agents", "transforms", "faults", "system")


@click.group()
def bench() -> None:
    """Measure this machine: every figure is a ratio against a bare limit or a rival, taken in the same run.

    A figure below its target exits with code 1. Other work on the machine spoils the figures; `spread` in the result
    says how far repetitions lay apart.
    """


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1, 50), help="Repetitions for a median.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Measure this part alone; may be repeated.")
def store(as_json: bool, repeats: int, only: tuple[str, ...]) -> None:
    """From the buffer to the table: speed of the store, its layout and its reads.

    1,000 sensors for 1,000 seconds through the whole way (read, refine, score, replace with the ledger), over
    a bare COPY of the same rows; the layout over a table with text keys; three queries; pandas.to_sql. Takes several
    minutes, in a scratch database on GL_DATABASE_URL's server or on an embedded server of its own.
    """
    run = _benchmark("store")
    show("store", run(_progress(), repeats=repeats, parts=only or PARTS), as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--broadcasts", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Commands to send.")
@click.option(
    "--only", type=click.Choice(AGENTS_PARTS), multiple=True, help="Measure this part alone; may be repeated."
)
def agents(as_json: bool, broadcasts: int, only: tuple[str, ...]) -> None:
    """Signed commands to 99 agents over a bare paho round trip to as many clients, and what the platform can carry.

    From a command to the last answer stored and aggregated; a command to one agent; signed messages per second while
    commands overlap, without rate limit; the search by capability among 10,000 agents; one command to 1,000 agents.
    Takes about three minutes, in a scratch database on GL_DATABASE_URL's server or on an embedded server of its own.
    """
    result = _benchmark("agents")(_progress(), broadcasts=broadcasts, parts=only or AGENTS_PARTS)
    show("agents", result, as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def collector(as_json: bool) -> None:
    """MQTT messages per second into the durable buffer, over a bare paho subscriber that acknowledges and counts."""
    show("collector", _benchmark("collector")(_progress()), as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1, 50), help="Repetitions for a median.")
@click.option("--only", type=click.Choice(SCADA_PARTS), multiple=True, help="Measure this part alone; may be repeated.")
def scada(as_json: bool, repeats: int, only: tuple[str, ...]) -> None:
    """The connectors over bare asyncua, paho and pymodbus clients, and one collector of a hundred devices.

    Notifications, messages and values per second into the durable buffer, over a client that only counts; how long a
    hundred devices take to connect, to answer and to come back; readings per second of all together, and what of them
    is lost. Takes about ten minutes.
    """
    result = _benchmark("scada")(_progress(), repeats=repeats, parts=only or SCADA_PARTS)
    show("scada", result, as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1, 50), help="Repetitions for a median.")
@click.option("--only", type=click.Choice(ERP_PARTS), multiple=True, help="Measure this part alone; may be repeated.")
def erp(as_json: bool, repeats: int, only: tuple[str, ...]) -> None:
    """From an ERP system's pages to the table: 100,000 records from a local server, without rate limit.

    With 100 ms added to each page over a bare httpx loop that discards them, and over dlt; without delay over a bare
    COPY of the same rows; how memory grows with the number of records; requests for tokens, and connections used
    again. Takes about five minutes, in a scratch database on GL_DATABASE_URL's server or on an embedded server of its
    own. dlt is installed into GL_HOME/bench/dlt.
    """
    show("erp", _benchmark("erp")(_progress(), repeats=repeats, parts=only or ERP_PARTS), as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--only", type=click.Choice(TARGETS_PARTS), multiple=True, help="Measure this part alone; may be repeated."
)
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures into this page's table as well."
)
def targets(as_json: bool, only: tuple[str, ...], page: Path | None) -> None:
    """Every target that was set for readings, ERP, agents and transforming, beside the value measured here.

    Real servers over loopback; parts of the other benchmarks are run where they measure the same. The last part runs
    the whole platform with its demo plant for two minutes and reports memory and CPU as they are. Takes about ten
    minutes. `--page docs/reference/targets.md` renews the table of the documentation.
    """
    result = _benchmark("targets")(_progress(), parts=only or TARGETS_PARTS)
    if page is not None:
        _benchmark("targets", "write", module="page")(page, result)
    if as_json:
        show("targets", result, as_json=True)
    else:
        show_targets(result)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--record",
    "records",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A record of connections to replay; those of docs/soak if absent. May be repeated.",
)
def connections(as_json: bool, records: tuple[Path, ...]) -> None:
    """How often the warning before a source fails is false, on the soak's record, and how often it comes in time.

    The soak's faults are drawn at random, so that nothing announces them and every warning is a false alarm; failures
    that announce themselves are simulated. Takes about half a minute.
    """
    show("connections", _benchmark("connections")(_progress(), records=records), as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1, 50), help="Repetitions for a median.")
def quality(as_json: bool, repeats: int) -> None:
    """The way of a million readings with planted faults through all steps, over one pass in NumPy written by hand.

    Order, duplicates, validation, calibration, conversion, scores, and the frame held against its schema; the pass by
    hand does the arithmetic alone. Also the memory taken per row, and which share of the planted faults is found. Takes
    about half a minute.
    """
    show("quality", _benchmark("quality")(_progress(), repeats=repeats), as_json=as_json)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Recordings; GL_REPLAY_DIR, or ../shared/data/skab beside the repository, by default.",
)
def anomalies(as_json: bool, folder: Path | None) -> None:
    """The detector of anomalies on labelled recordings, over plain PCA with T2 and Q.

    Each recording of the Skoltech Anomaly Benchmark by itself, trained on its first 400 rows: F1, false and missed
    alarms per recording and over all; what depends on each parameter. Takes a few seconds.
    """
    show("anomalies", _benchmark("anomalies")(_progress(), folder=folder), as_json=as_json)


def _benchmark(name: str, function: str = "run", *, module: str = "bench") -> Callable[..., Any]:
    try:
        found = importlib.import_module(f"benchmarks.{name}.{module}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("benchmarks"):
            raise
        raise ConfigError(
            "gl bench runs from the repository, where the folder `benchmarks` is: change into it first"
        ) from error
    run: Callable[..., Any] = getattr(found, function)
    return run


def _progress() -> Callable[[str], None]:
    console = Console(stderr=True)
    return lambda line: console.print(f"[dim]{line} ...[/dim]")


def show(name: str, result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result, and exit with code 1 if it missed a target."""
    if as_json:
        click.echo(json.dumps(result))
    else:
        table = Table("figure", "value", title=f"gl bench {name}")
        for figure, value in flat(result):
            table.add_row(figure, value)
        Console().print(table)
    _fail_if_missed(result)


def show_targets(result: dict[str, Any]) -> None:
    """Print what was asked for beside what was measured, and exit with code 1 if a target was missed."""
    table = Table("what", "target", "measured", "met", title="gl bench targets")
    words = {True: "yes", False: "[red]no[/red]", None: ""}
    for row in result["targets"]:
        limit = "" if row["target"] is None else f"{_BOUNDS[row['bound']]} {row['target']:,g} {row['unit']}"
        table.add_row(row["what"], limit.strip(), f"{row['measured']:,g} {row['unit']}".strip(), words[row["met"]])
    Console().print(table)
    _fail_if_missed(result)


_BOUNDS = {"most": "at most", "least": "at least", "about": "about"}


def _fail_if_missed(result: dict[str, Any]) -> None:
    if result.get("missed"):
        click.echo(f"missed: {', '.join(result['missed'])}", err=True)
        sys.exit(1)


def flat(result: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested figures as (dotted name, text)."""
    rows = []
    for name, value in result.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            rows.append((prefix + name, ", ".join(map(str, value)) or "none"))
        else:
            rows.append((prefix + name, f"{value:,}" if isinstance(value, int) else str(value)))
    return rows
