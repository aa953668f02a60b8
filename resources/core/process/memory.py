"""Memory of the processes that run for ever."""

from __future__ import annotations

import ctypes
import gc
import sys


def release_unused() -> None:
    """Return freed memory to the system (about 40 MB after the start), where the C library can; once, when all is up.

    What is loaded by then stays. Looking through it for garbage again and again would stop every thread of the process
    for a tenth of a second each time: sources, answers to commands.
    """
    gc.collect()
    gc.freeze()
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        # not glibc: its allocator keeps less
        return


def collect_rarely() -> None:
    """Look for garbage less often: in a process that keeps what it gets, such as ids and answers, for a while.

    Python looks through everything whenever a quarter more is there, a tenth of a second each time while messages flow.
    After a million objects instead, what lies about in circles is at most some hundred megabytes.
    """
    gc.set_threshold(5_000, 10, 20)
