from __future__ import annotations

import pytest
from pydantic import ValidationError

from resources.core.configuration.connection_health import ConnectionHealthConfig


def test_block_when_absent_then_on_with_spans_that_fit() -> None:
    block = ConnectionHealthConfig()
    assert block.enabled
    assert block.history / block.recent == 24


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"every": "10s", "recent": "50s"}, "six times"),
        ({"recent": "4h"}, "twice"),
        ({"every": "1s", "history": "24h"}, "shorten the one"),
        ({"chance": 0.5}, "less than 0.5"),
        ({"every": "10ms"}, "greater than or equal"),
    ],
)
def test_block_when_spans_do_not_fit_then_it_is_refused(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ConnectionHealthConfig.model_validate(keys)
