"""Where a part of `gl bench targets` happens: a folder of its own, a scratch database, variables set for a while."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scratch_database import scratch_database
from benchmarks.store.bare_copy import readable_folder


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that the database's user can reach, and a migrated database."""

    folder: Path
    database_url: str


@contextmanager
def place(progress: Callable[[str], None], variables: Mapping[str, str] | None = None) -> Iterator[Place]:
    """Yield a place; GL_HOME is in it, and `variables` are set, until it is gone."""
    with ExitStack() as stack:
        folder = readable_folder(Path(tempfile.mkdtemp(prefix="gl_bench_targets_")))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(scratch_database(folder, progress))
        stack.enter_context(environment({"GL_HOME": str(folder / "home"), **(variables or {})}))
        yield Place(folder, url)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process's environment for the length of a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
