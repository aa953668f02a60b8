"""What tests of the agents' parts share."""

from __future__ import annotations

import pytest

from resources.agents import watched_file


@pytest.fixture
def seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a replaced file be seen by the next call, not within LOOK_EVERY_S."""
    monkeypatch.setattr(watched_file, "LOOK_EVERY_S", 0.0)
