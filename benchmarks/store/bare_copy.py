"""Bare server-side COPY: the limit that the store is measured against. Files in PostgreSQL's binary format."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from resources.databases.timescale.binary import HEADER, TRAILER

Columns = Mapping[str, npt.ArrayLike]


def encode(columns: Columns, kinds: Mapping[str, str]) -> bytes:
    """Return rows as a complete COPY BINARY file; a kind `S5` is text of five bytes in every row."""
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in kinds.items():
        layout += [(f"{name}_length", ">i4"), (name, kind if kind.startswith("S") else f">{kind}")]
    rows = np.empty(len(np.asarray(columns["time"])), dtype=np.dtype(layout))
    rows["fields"] = len(kinds)
    for name in kinds:
        rows[f"{name}_length"] = rows.dtype[name].itemsize
        rows[name] = columns[name]
    return HEADER + rows.tobytes() + TRAILER


class BareCopy:
    """Copies encoded rows into a table as quickly as the server can: from a file it reads itself.

    Where the server does not see this machine's files, or the user may not read them, the bytes go over the connection;
    `where` says which, and stands in the result.
    """

    def __init__(self, connection: psycopg.Connection, folder: Path) -> None:
        """Find out which way works; `folder` must be readable by the server's user."""
        self._connection, self._folder = connection, folder
        self.where = "server-side COPY from a file" if self._server_reads() else "COPY over the connection"

    def _server_reads(self) -> bool:
        probe = self._folder / "probe"
        probe.write_bytes(HEADER + TRAILER)
        probe.chmod(0o644)
        try:
            with self._connection.transaction(force_rollback=True):
                self._connection.execute("CREATE TEMP TABLE probe (n int4)")
                self._connection.execute(f"COPY probe FROM '{probe}' (FORMAT BINARY)")
        except psycopg.Error:
            return False
        finally:
            probe.unlink()
        return True

    def seconds(self, table: str, columns: tuple[str, ...], data: bytes) -> float:
        """Copy a file's rows and return how long the server took, commit included, writing the file not."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM {{}} (FORMAT BINARY)"
        if not self.where.startswith("server"):
            begun = time.perf_counter()
            with self._connection.cursor().copy(statement.format("STDIN")) as copy:
                copy.write(data)
            return time.perf_counter() - begun
        path = self._folder / "rows.bin"
        path.write_bytes(data)
        path.chmod(0o644)
        begun = time.perf_counter()
        self._connection.execute(statement.format(f"'{path}'"))
        return time.perf_counter() - begun


def readable_folder(folder: Path) -> Path:
    """Return a new folder that the server's user can reach; the caller removes it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    os.chmod(folder, 0o755)  # noqa: S103 - the database's user reads the files
    return folder


def all_rows(parts: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of several parts, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
