"""Keeping the process small: no pandas, and freed memory given back after the start."""

from __future__ import annotations

import ctypes
import gc
import sys


def keep_pandas_out() -> None:
    """Make pyarrow do without pandas, which it would load with the first array (40 MB): for a process that only collects.

    pyarrow asks for pandas by an import and goes on where that fails; None in sys.modules makes it fail.
    """
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]  # the documented way to forbid an import


def release_unused() -> None:
    """Return freed memory to the system (about 40 MB after the start); does nothing where the C library cannot."""
    gc.collect()
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        # not glibc: its allocator keeps less
        return
