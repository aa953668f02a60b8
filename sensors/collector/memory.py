"""Keeping the process small: no pandas."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


def keep_pandas_out() -> None:
    """Make pyarrow do without pandas (40 MB, loaded with the first array): for a process that only collects.

    pyarrow asks for pandas by an import, and goes on without where that fails.
    """
    if "pandas" not in sys.modules and not any(isinstance(finder, _NoPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("the collector runs without pandas", name=fullname)
