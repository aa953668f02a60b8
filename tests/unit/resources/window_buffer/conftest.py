from __future__ import annotations

import pytest

from resources.core.clock import ManualClock
from tests.unit.resources.window_buffer.plant import T0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0)
