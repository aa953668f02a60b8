"""What the parts of one orchestrator share: its memory and its pen."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from resources.agents.orchestration.registry_keeper import RegistryKeeper
from resources.agents.orchestration.schedule import Schedule
from resources.agents.record.recorder import Recorder
from resources.agents.record.seen_ids import SeenIds
from resources.core.clock import Clock

_MOST_KEPT = 10_000


class Ended:
    """Messages that came to their end lately, and who waits for that; safe from any thread."""

    def __init__(self) -> None:
        """Begin empty."""
        self._changed = threading.Condition()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def tell(self, message_id: str) -> None:
        """Wake whoever waits for this message, now or later."""
        with self._changed:
            self._ended[message_id] = None
            while len(self._ended) > _MOST_KEPT:
                self._ended.popitem(last=False)
            self._changed.notify_all()

    def teller(self, message_id: str) -> Callable[[], None]:
        """Return what tells it."""
        return partial(self.tell, message_id)

    def wait(self, message_id: str, timeout_s: float) -> bool:
        """Return whether it ended in time."""
        with self._changed:
            return self._changed.wait_for(lambda: message_id in self._ended, timeout_s)


@dataclass(frozen=True, slots=True)
class Desk:
    """Shared by those who send, who take answers, and who take events."""

    orchestrator_id: str
    site: str
    clock: Clock
    schedule: Schedule
    recorder: Recorder
    registry: RegistryKeeper
    seen: SeenIds
    ended: Ended = field(default_factory=Ended)
