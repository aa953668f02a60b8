"""`gl bench connections`: how often the warning before a source fails is wrong, and how often it comes in time.

False alarms are counted on records of the soak (`docs/soak/*.connections.npz`), whose faults are drawn without memory:
nothing announces them, so every warning there is a false one. Failures that do announce themselves are simulated,
with a fixed seed: answers that grow until they hit the limit, losses in ever quicker succession, gaps that lengthen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resources.core.configuration.connection_health import ConnectionHealthConfig
from resources.core.errors import ConfigError
from resources.integrations import CollectorConfig
from sensors.collector.connection_health.history import Floats, Record, Slots
from sensors.collector.connection_health.replay import figures, replay
from sensors.collector.connection_health.rule import RiskRule

RECORDS = Path(__file__).resolve().parents[2] / "docs" / "soak"
SEED, SOURCES, LIMIT_S = 20_261_122, 40, 3.0
QUIET_H, FAILED_S = 4.0, 600.0
RESTLESS_PER_H = 3.6
"""Losses of a source in an hour of the soak: a fault every ten seconds among a hundred devices."""
MOST_FALSE_PER_DAY, LEAST_WARNED = 1.0, 0.9
"""Targets: false alarms a source and day on a record; share of the announced failures that a warning precedes."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A source is away from `since`, seconds from the beginning, for `length_s`."""

    since: float
    length_s: float


def run(progress: Callable[[str], None], *, records: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the figures of every record and every simulation; `missed` names what is beyond its target.

    Raises:
        ConfigError: A record cannot be read.
    """
    given = list(records) or sorted(RECORDS.glob("*.connections.npz"))
    result: dict[str, Any] = {"records": {}, "simulated": {}, "missed": []}
    for path in given:
        progress(f"replaying {path.name}")
        result["records"][path.name] = found = _judged(_read(path))
        if found["false_alarms_per_source_day"] > MOST_FALSE_PER_DAY:
            result["missed"].append(f"records.{path.name}.false_alarms_per_source_day")
    for name, announce in SIMULATIONS.items():
        progress(f"simulating {name}")
        result["simulated"][name] = found = _judged(simulated(announce))
        if announce is None and found["false_alarms_per_source_day"] > MOST_FALSE_PER_DAY:
            result["missed"].append(f"simulated.{name}.false_alarms_per_source_day")
        if announce is not None and found["failures_warned_of"] < LEAST_WARNED * found["failures"]:
            result["missed"].append(f"simulated.{name}.failures_warned_of")
    return result


def simulated(announce: Callable[[np.random.Generator, float], tuple[Floats, list[Outage]]] | None) -> Record:
    """Return a record of sources that are well, announce their failure, and fail; of restless ones for None."""
    slot_s = ConnectionHealthConfig().every.total_seconds()
    chance, columns = np.random.default_rng(SEED), []
    for _ in range(SOURCES):
        if announce is None:
            columns.append(_restless(chance, slot_s))
            continue
        quiet_s = QUIET_H * 3600.0 * chance.uniform(1.0, 1.5)
        slower, announced = announce(chance, slot_s)
        ends = quiet_s + len(slower) * slot_s
        # losses that announce nothing happen all the time
        outages = [Outage(t, 5.0) for t in chance.uniform(0, quiet_s, chance.poisson(0.2 * quiet_s / 3600.0))]
        outages += [Outage(quiet_s + each.since, each.length_s) for each in announced]
        outages.append(Outage(ends, FAILED_S))
        usual = chance.uniform(0.002, 0.05)
        factors = np.concatenate([np.ones(round(quiet_s / slot_s)), np.exp(slower), np.ones(round(FAILED_S / slot_s))])
        columns.append(_column(np.minimum(usual * factors, LIMIT_S), outages, chance, slot_s))
    length = min(len(column[0]) for column in columns)
    # all end with their failure, so that they fit into one table
    latency, retried, down = (np.stack([column[part][-length:] for column in columns], axis=1) for part in range(3))
    times = 1_800_000_000 + slot_s * np.arange(1, length + 1)
    slots = Slots(times, latency, retried.astype(np.bool_), down, down)
    return Record(tuple(f"s{n}" for n in range(SOURCES)), slot_s, np.full(SOURCES, LIMIT_S), slots)


def _restless(chance: np.random.Generator, slot_s: float) -> tuple[Floats, Floats, Floats]:
    """Return a day of a source that is lost as often as in the soak, at random, and for longer."""
    seconds = 86_400.0
    since = chance.uniform(0, seconds, chance.poisson(RESTLESS_PER_H * seconds / 3600.0))
    outages = [Outage(t, length_s) for t, length_s in zip(since, chance.exponential(15.0, len(since)), strict=True)]
    return _column(np.full(round(seconds / slot_s), chance.uniform(0.002, 0.05)), outages, chance, slot_s)


def _column(
    latency_s: Floats, outages: list[Outage], chance: np.random.Generator, slot_s: float
) -> tuple[Floats, Floats, Floats]:
    """Return answer times, retries and seconds away of one source."""
    count = len(latency_s)
    latency_s = np.minimum(latency_s * np.exp(chance.normal(0.0, 0.3, count)), LIMIT_S)
    retried, down = np.zeros(count), np.zeros(count)
    edges = slot_s * np.arange(count + 1)
    for outage in outages:
        down += np.clip(
            np.minimum(edges[1:], outage.since + outage.length_s) - np.maximum(edges[:-1], outage.since), 0, None
        )
        retried[min(count - 1, int(outage.since // slot_s))] = 1
    down = np.minimum(down, slot_s)
    return np.where(down > 0, np.nan, latency_s), retried, down


def _growing_answers(chance: np.random.Generator, slot_s: float) -> tuple[Floats, list[Outage]]:
    """Answer times grow a thousandfold within 20 to 60 min, which is beyond the limit."""
    return np.linspace(0.0, np.log(1000.0), round(chance.uniform(1200, 3600) / slot_s)), []


def _quicker_losses(chance: np.random.Generator, slot_s: float) -> tuple[Floats, list[Outage]]:
    """Losses of 3 s: the first minutes apart, each pause four fifths of the one before."""
    pauses = chance.uniform(240, 480) * 0.8 ** np.arange(10) * chance.uniform(0.8, 1.2, 10)
    since = np.cumsum(pauses)
    return np.zeros(int(since[-1] / slot_s) + 3), [Outage(t, 3.0) for t in since]


def _longer_gaps(chance: np.random.Generator, slot_s: float) -> tuple[Floats, list[Outage]]:
    """Gaps every three minutes or so, each half as long again as the one before."""
    since = np.cumsum(chance.uniform(150, 210, 6))
    return np.zeros(int(since[-1] / slot_s) + 6), [Outage(t, 6.0 * 1.5**n) for n, t in enumerate(since)]


SIMULATIONS: dict[str, Callable[[np.random.Generator, float], tuple[Floats, list[Outage]]] | None] = {
    "memoryless": None,
    "growing_answers": _growing_answers,
    "quicker_losses": _quicker_losses,
    "longer_gaps": _longer_gaps,
}
"""Name -> what announces the failure; None: nothing does."""


def _judged(record: Record) -> dict[str, Any]:
    config = ConnectionHealthConfig()
    rule = RiskRule(record.slot_s, config.recent.total_seconds(), config.horizon.total_seconds(), config.chance)
    failure_s = CollectorConfig().disconnected_limit.total_seconds()
    book = replay(record, rule, history_s=config.history.total_seconds(), failure_s=failure_s)
    return figures(record, book)


def _read(path: Path) -> Record:
    try:
        return Record.read(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read as a record of connections ({error}): `python -m tests.soak.soak` makes one"
        ) from error
