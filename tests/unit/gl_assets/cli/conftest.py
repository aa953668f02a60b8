from __future__ import annotations

from collections.abc import Iterator

import pytest

from resources.core.process.logs import setup_logging


@pytest.fixture(autouse=True)
def _logs_as_the_command_has_them() -> Iterator[None]:
    """stdout is for results, as `gl` itself sees to before it calls a command."""
    logging = setup_logging("warning")
    yield
    logging.close()
