from __future__ import annotations

import numpy as np
import pytest

from sensors.collector.connection_health.history import Slots
from sensors.collector.connection_health.risk_book import Change, RiskBook
from tests.unit.sensors.collector.connection_health.tables import LIMIT_S, RULE, slots


def judged(record: Slots) -> tuple[RiskBook, list[Change]]:
    """Judge a whole record, slot by slot."""
    book, changes = RiskBook(1, RULE, failure_s=60.0), list[Change]()
    for end in range(1, len(record) + 1):
        changes += book.judge(record.part(slice(0, end)), LIMIT_S)
    return book, changes


FLAPPING = (400, 410, 420, 430, 440)


def test_book_when_a_source_flaps_and_calms_down_then_one_warning_and_one_end() -> None:
    book, changes = judged(slots(700, retried=FLAPPING))
    assert [(change.at_risk, change.sign) for change in changes] == [(True, "retries"), (False, "retries")]
    assert changes[0].risk >= 1.0
    assert changes[1].warned_at == changes[0].time
    assert (int(book.warnings[0]), int(book.false[0]), int(book.right[0])) == (1, 1, 0)


def test_book_when_the_source_fails_after_the_warning_then_it_was_right() -> None:
    away = dict.fromkeys(range(460, 480), 10.0)
    book, changes = judged(slots(700, retried=FLAPPING, down_s=away))
    assert sum(change.at_risk for change in changes) == 1
    assert (int(book.failures[0]), int(book.warned_failures[0])) == (1, 1)
    assert (int(book.right[0]), int(book.false[0])) == (1, 0)
    assert book.lead_s == [pytest.approx(10.0 * 460 - (changes[0].time - 1_800_000_000))]


def test_book_when_a_source_fails_without_a_sign_then_a_failure_nobody_was_warned_of() -> None:
    book, changes = judged(slots(300, down_s=dict.fromkeys(range(200, 210), 10.0)))
    assert changes == []
    assert (int(book.failures[0]), int(book.warned_failures[0])) == (1, 0)


def test_book_when_outages_are_short_then_no_failure() -> None:
    book, _ = judged(slots(300, down_s=dict.fromkeys(range(200, 206), 9.0)))
    assert int(book.failures[0]) == 0


def test_book_when_a_source_is_away_then_it_is_not_warned_of() -> None:
    away = dict.fromkeys(range(442, 700), 10.0)
    _, changes = judged(slots(700, retried=(*FLAPPING[:-1], 441), down_s={441: 5.0, **away}))
    assert changes == []


def test_book_when_answers_jump_once_then_no_warning_at_any_time() -> None:
    _, changes = judged(slots(600, latency_s=np.where(np.arange(600) < 400, 0.01, 0.3)))
    assert changes == []


def test_book_when_a_warning_stands_for_long_then_it_was_false() -> None:
    growing = np.concatenate([np.full(360, 0.01), np.geomspace(0.01, 0.2, 90), np.full(90, 0.2)])
    endless = slots(960, latency_s=np.resize(growing, 960), retried=tuple(range(400, 960, 8)))
    book, changes = judged(endless)
    assert changes[0].at_risk
    assert (int(book.right[0]), int(book.false[0])) == (0, 1)
