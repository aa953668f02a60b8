"""How fast Sparkplug messages become readings, against a loop that only parses them and reads alias, time and value.

No broker and no buffer: one edge node's data messages as they come from the session, to Arrow batches. Processor time,
medians of alternating runs. `python -m benchmarks.scada.sparkplug`
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from resources.core.clock import SystemClock
from resources.core.tags import Sensor, SensorCatalog
from resources.demo_plant.servers.sparkplug_bytes import DOUBLE, SparkplugMetric, encode_metric, encode_payload
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.sparkplug.decoder import SparkplugDecoder
from resources.scada.mqtt.sparkplug.payload.schema import parse

VALUES = 100_000
_T0 = 1_795_342_500_000
_PER_TURN = 200
"""Messages that a busy event loop takes in one turn."""


def run(progress: Callable[[str], None], *, repeats: int = 5, values: int = VALUES) -> dict[str, float]:
    """Return `sparkplug_vs_bare` and rates for messages of 1 and of 50 metrics; values per second of processor time."""
    found: dict[str, float] = {}
    for metrics in (1, 50):
        progress(f"sparkplug: {metrics} metrics a message")
        ours, bare = [], []
        for _ in range(repeats):
            messages = _messages(metrics, values // metrics)
            ours.append(_rate(values, lambda m=messages, n=metrics: _read(m, n)))  # type: ignore[misc]
            bare.append(_rate(values, lambda m=messages: _parse(m)))  # type: ignore[misc]
        mine, theirs = statistics.median(ours), statistics.median(bare)
        found[f"sparkplug_{metrics}_metrics_per_s"] = round(mine)
        found[f"sparkplug_{metrics}_metrics_bare_per_s"] = round(theirs)
        found[f"sparkplug_{metrics}_metrics_vs_bare"] = round(mine / theirs, 2)
    return found


def _rate(values: int, work: Callable[[], int]) -> float:
    start = time.process_time()
    count = work()
    assert count == values, (count, values)
    return values / (time.process_time() - start)


def _metrics(count: int) -> list[SparkplugMetric]:
    return [SparkplugMetric(f"Area/Metric {n}", DOUBLE, 1.5 + n, alias=1000 + n) for n in range(count)]


def _payload(metrics: int, number: int, *, whole: bool) -> bytes:
    parts = [encode_metric(metric, time_ms=_T0 + number, whole=whole) for metric in _metrics(metrics)]
    return encode_payload(parts, timestamp=_T0 + number, seq=number % 256)


def _messages(metrics: int, count: int) -> list[Message]:
    # 256 different ones are enough: what is measured keeps no memory of them
    made = [_payload(metrics, number, whole=False) for number in range(256)]
    return [Message(b"spBv1.0/G/NDATA/E", made[number % 256], 0, 0, False) for number in range(1, count + 1)]


def _read(messages: Sequence[Message], metrics: int) -> int:
    tags = [{"sensor_id": f"s{n}", "unit": "1", "sparkplug": f"G/E//Area/Metric {n}"} for n in range(metrics)]
    config = MqttConfig.model_validate({
        "kind": "mqtt", "broker": {"host": "nowhere"}, "client_id": "bench", "payload": "sparkplug_b",
        "sparkplug": {"host_id": "bench"}, "tags": tags,
    })  # fmt: skip
    catalog = SensorCatalog(Sensor(tag.sensor_id, tag.unit, "bench") for tag in config.tags)
    decoder = SparkplugDecoder("bench", config, catalog, SystemClock())
    birth = _payload(metrics, 0, whole=True)
    decoder.decode([Message(b"spBv1.0/G/NBIRTH/E", birth, 0, 0, False)], _T0 * 1000)
    rows = 0
    for start in range(0, len(messages), _PER_TURN):
        for part in decoder.decode(messages[start : start + _PER_TURN], _T0 * 1000):
            rows += part.readings.num_rows if part.readings is not None else 0
    return rows


def _parse(messages: Sequence[Message]) -> int:
    found = [(m.alias, m.timestamp, m.double_value) for message in messages for m in parse(message.payload).metrics]
    return len(found)


if __name__ == "__main__":
    json.dump(run(lambda text: print(text, file=sys.stderr)), sys.stdout, indent=2)  # noqa: T201
