from __future__ import annotations

import numpy as np

from sensors.collector.connection_health.history import Record
from sensors.collector.connection_health.replay import figures, replay
from tests.unit.sensors.collector.connection_health.tables import LIMIT_S, RULE, SLOT_S, slots


def test_figures_when_a_warning_precedes_one_failure_of_two_then_they_say_so() -> None:
    away = dict.fromkeys([*range(200, 210), *range(460, 480)], 10.0)
    record = Record(("a",), SLOT_S, LIMIT_S, slots(720, retried=(400, 410, 420, 430, 440, 450), down_s=away))
    found = figures(record, replay(record, RULE, history_s=7200.0, failure_s=60.0))
    assert (found["sources"], found["hours"], found["losses"]) == (1, 2.0, 2)
    assert (found["failures"], found["failures_warned_of"], found["warnings"]) == (2, 1, 1)
    assert (found["false_alarms"], found["false_alarms_per_source_day"], found["undecided"]) == (0, 0.0, 0)
    assert 0 < found["lead_s_p50"] < 300


def test_figures_when_there_is_nothing_then_no_rate() -> None:
    record = Record(("a",), SLOT_S, LIMIT_S, slots(720).part(np.zeros(720, dtype=np.bool_)))
    found = figures(record, replay(record, RULE, history_s=7200.0, failure_s=60.0))
    assert (found["false_alarms_per_source_day"], found["lead_s_p50"]) == (None, None)
