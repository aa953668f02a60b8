"""Ending tasks for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

CANCEL_AGAIN_S = 5.0
"""A task that has not ended by then is cancelled again: longer than a connector takes to say goodbye."""


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel and wait; asks again, because `asyncio.wait_for` of Python 3.11 may swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
