"""Memory of the processes that run for ever: in a process of its own, whose collector the tests may turn about."""

from __future__ import annotations

import subprocess
import sys


def _said(script: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_release_unused_when_all_is_up_then_what_is_loaded_is_not_looked_through_again() -> None:
    # what was garbage by then is gone, what lives is frozen
    script = """
import gc, weakref
from resources.core.process.memory import release_unused

class Node:
    pass

circle, kept = Node(), [Node() for _ in range(1_000)]
circle.itself = circle
gone = weakref.ref(circle)
gc.disable()
del circle
release_unused()
print(gone() is None, gc.get_freeze_count() > 1_000)
"""

    assert _said(script) == "True True"


def test_collect_rarely_when_a_million_objects_are_made_then_garbage_is_looked_for_once_or_less() -> None:
    script = """
import gc
from resources.core.process.memory import collect_rarely, release_unused

release_unused()
collect_rarely()
before = gc.get_stats()[2]["collections"]
kept = [[index] for index in range(1_000_000)]
print(gc.get_stats()[2]["collections"] - before)
"""

    assert int(_said(script)) <= 1


def test_collect_rarely_when_things_lie_about_in_circles_then_they_are_found_in_the_end() -> None:
    script = """
import gc, weakref
from resources.core.process.memory import collect_rarely, release_unused

class Node:
    pass

release_unused()
collect_rarely()
circle = Node()
circle.itself = circle
gone = weakref.ref(circle)
del circle
kept = [[index] for index in range(100_000)]
print(gone() is None)
"""

    assert _said(script) == "True"
