"""A small plant for the tests of Dagster: a configuration, and a real window buffer filled without a collector."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from resources.core.clock import ManualClock, to_micros
from resources.core.configuration.settings import parse_yaml
from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer

HOUR = datetime(2026, 11, 21, 10, tzinfo=UTC)
"""The hour most tests are about; long over by any clock that runs these tests."""

TEMPLATE = """
site: plant
start: {start}
window: {window}
collector: {{name: c1}}
quality: {{max_rejected_share: 0.5, warn_rejected_share: 0.1}}
sources:
  boiler_house:
    kind: mqtt
    broker: {{host: 127.0.0.1, port: 1883}}
    client_id: test
    topic_filters: ["p/#"]
    tags:
      - {{sensor_id: B1/FUEL, unit: kg/h, topic: p/fuel}}
      - {{sensor_id: B1/STEAM, unit: t/h, topic: p/steam}}
      - {{sensor_id: B1/P, unit: bar, topic: p/p}}
      - {{sensor_id: B1/T, unit: Cel, topic: p/t}}
      - {{sensor_id: B1/FW, unit: Cel, topic: p/fw}}
  yard:
    kind: mqtt
    broker: {{host: 127.0.0.1, port: 1883}}
    client_id: test2
    topic_filters: ["y/#"]
    tags:
      - {{sensor_id: Y/AIR, unit: Cel, topic: y/air}}
boilers:
  boiler_1:
    fuel_flow: B1/FUEL
    fuel_heating_value_kj_per_kg: 47000
    steam_flow: B1/STEAM
    steam_pressure: B1/P
    steam_temperature: B1/T
    feedwater_temperature: B1/FW
"""

VALUES = {"B1/FUEL": 1000.0, "B1/STEAM": 15.0, "B1/P": 40.0, "B1/T": 400.0, "B1/FW": 105.0, "Y/AIR": 8.0}


def configuration(window: str = "15m", start: datetime = HOUR) -> Integrations:
    """Return the plant's configuration."""
    return parse_yaml(TEMPLATE.format(window=window, start=start.isoformat()), Integrations, name="test.yaml")


def configuration_text(window: str = "15m", start: datetime = HOUR) -> str:
    """Return the plant's configuration as the text of a file."""
    return TEMPLATE.format(window=window, start=start.isoformat())


class Plant:
    """A window buffer that a test fills by hand; its clock stands at `clock`."""

    def __init__(
        self, home: Path, config: Integrations, *, at: datetime = HOUR, retention: timedelta = timedelta(hours=24)
    ) -> None:
        """Open the buffer in `home`/buffer."""
        self.home, self.config = home, config
        self.clock = ManualClock(at)
        self.catalog = config.catalog()
        self.buffer = WindowBuffer(
            home / "buffer",
            collector=config.collector.name,
            grid=config.grid,
            start=config.start,
            catalog=self.catalog,
            grace=config.grace,
            retention=retention,
            clock=self.clock,
        )
        self.buffer.tick()

    def send(
        self, start: datetime, *, sensors: tuple[str, ...] = tuple(VALUES), every_s: int = 60, shift: float = 0.0
    ) -> int:
        """Append readings of one window, one per sensor and `every_s`; return how many."""
        steps = int(self.config.window.total_seconds()) // every_s
        total = 0
        for source in self.config.sources:
            own = [s for s in sensors if s in self.catalog.of_source(source)]
            if not own:
                continue
            times = np.tile(to_micros(start) + np.arange(steps) * every_s * 1_000_000, len(own))
            keys = np.repeat([self.catalog.key(s) for s in own], steps)
            values = np.repeat([VALUES[s] + shift for s in own], steps)
            batch = readings_batch(times, keys, values, np.full(len(times), Status.GOOD), to_micros(self.clock.now()))
            self.buffer.append(ReadingBatch(source, readings=batch))
            total += len(times)
        self.buffer.commit()
        return total

    def reject(self, start: datetime, count: int) -> None:
        """Append rejected rows of one window."""
        moment = to_micros(start) + 1
        rejects = [
            Reject("boiler_house", "{}", ("not a number",), to_micros(self.clock.now()), moment + n, "B1/P")
            for n in range(count)
        ]
        self.buffer.append(ReadingBatch("boiler_house", rejects=rejects_batch(rejects)))
        self.buffer.commit()

    def move_to(self, instant: datetime) -> None:
        """Let the clock run to `instant` and the buffer close what has ended by then."""
        while self.clock.now() < instant:
            self.clock.advance(min(30.0, (instant - self.clock.now()).total_seconds()))
            self.buffer.tick()

    def close_windows(self, *starts: datetime, **sent: object) -> None:
        """Let each window pass with readings in it, then close it."""
        for start in starts:
            self.move_to(start + timedelta(seconds=1))
            self.move_to(start + self.config.window - timedelta(seconds=1))
            self.send(start, **sent)  # type: ignore[arg-type]
            self.move_to(start + self.config.window + self.config.grace + timedelta(seconds=1))
