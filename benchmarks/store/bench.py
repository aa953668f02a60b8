"""`gl bench store`: the store against its limits and its rivals, everything as a ratio measured in the same run.

The database is a scratch one on the server that GL_DATABASE_URL names, or on an embedded server started for this run
(fsync on); it is removed afterwards. Other ratios of the same table of figures come from modules that register here.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import structlog

from benchmarks.scratch_database import machine, scratch_database
from benchmarks.store import layout as store_layout
from benchmarks.store import persist as store_persist
from benchmarks.store.bare_copy import BareCopy, readable_folder
from benchmarks.store.workload import filled_buffer
from resources.databases.timescale.connection import connect
from resources.databases.timescale.edition import detect

Progress = Callable[[str], None]

PARTS = ("persist", "layout", "reads", "others")
"""What can be measured."""

TARGETS = {
    "persist_vs_copy": 0.6,
    "replace_vs_copy": 0.4,
    "layout_vs_text_key": 2.0,
    "persist_vs_to_sql": 5.0,
    "buffer_vs_disk": 0.5,
    "buffer_read_per_s": 3_000_000,
}
"""What has to be reached at least."""

MOST_READS = 1.5
"""What each of `reads` may be at most."""

LIMITS = {"rss_growth_mb": 60.0, "rss_mb": 250.0, "window_to_table_s.p50": 5.0, "window_to_table_s.p95": 10.0}
"""What may be at most; a dot leads into a nested figure."""

COMPANIONS = ("benchmarks.collector.buffer", "benchmarks.collector.memory", "benchmarks.window_to_table")
"""Modules with `run(progress=...) -> dict`, whose figures belong to the same result; a missing one is left out."""


def run(progress: Progress, *, repeats: int = 5, parts: tuple[str, ...] = PARTS) -> dict[str, Any]:
    """Return the figures.

    Args:
        progress: Called with a line about what is being done.
        repeats: Repetitions of which the median is taken.
        parts: What to measure.

    Raises:
        UnreachableError, AuthError: The database cannot be reached.
    """
    result: dict[str, Any] = {"machine": machine(), "repeats": repeats}
    with ExitStack() as stack:
        # under the system's folder of temporary files: the database's user has to reach it
        folder = readable_folder(Path(tempfile.gettempdir()) / f"gl_bench_{os.getpid()}")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(scratch_database(folder, progress))
        quiet = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        stack.callback(structlog.configure, **quiet)
        with connect(url, autocommit=True) as connection:
            result["edition"] = str(detect(connection))
            copy = BareCopy(connection, folder)
            if "persist" in parts:
                progress("filling the buffer")
                with filled_buffer(folder / "buffer") as workload:
                    rates = store_persist.measure(url, workload, copy, repeats=repeats, progress=progress)
                result |= store_persist.report(rates, copy)
            if "layout" in parts or "reads" in parts:
                store_layout.prepare(connection)
            if "layout" in parts:
                result |= store_layout.measure_load(connection, copy, repeats=repeats, progress=progress)
            if "reads" in parts:
                result |= store_layout.measure_reads(connection, copy, repeats=repeats, progress=progress)
    if "others" in parts:
        result |= _companions(progress)
    result["missed"] = missed(result)
    return result


def missed(result: dict[str, Any]) -> list[str]:
    """Return the names of targets that were measured and not reached."""
    low = [name for name, least in TARGETS.items() if name in result and result[name] < least]
    high = [name for name, most in LIMITS.items() if (found := _figure(result, name)) is not None and found > most]
    return low + high + [f"reads.{name}" for name, ratio in result.get("reads", {}).items() if ratio > MOST_READS]


def _figure(result: dict[str, Any], name: str) -> float | None:
    outer, _, inner = name.partition(".")
    found = result.get(outer)
    return found.get(inner) if inner and found is not None else found


def _companions(progress: Progress) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in COMPANIONS:
        if importlib.util.find_spec(name) is not None:
            progress(name.rpartition(".")[2])
            found |= importlib.import_module(name).run(progress=progress)
    return found
