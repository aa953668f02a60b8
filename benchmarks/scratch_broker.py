"""A broker in a folder of its own for the length of a benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import find_programs


@contextmanager
def scratch_broker(progress: Callable[[str], None]) -> Iterator[tuple[EmbeddedBroker, Path]]:
    """Yield a broker that takes anybody on loopback, and the folder, which the server's own user can enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = EmbeddedBroker(folder / "broker", find_programs(progress), BrokerOptions(insecure_anonymous=True))
        broker.start()
        try:
            yield broker, folder
        finally:
            broker.stop()
