"""How long the steps of an asset take: measured where they are done, told in the metadata of what they made."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class StepTimes:
    """Seconds by step, added up over all times that a step is entered."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def shares(self) -> dict[str, float]:
        """Return each step's share of the time of all, 0 to 1, as metadata: `share_validate` and so on."""
        whole = sum(self.seconds.values()) or 1.0
        return {f"share_{name}": round(held / whole, 4) for name, held in self.seconds.items()}
