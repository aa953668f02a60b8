from datetime import timedelta

from resources.databases.timescale.derived.hours import HourState
from resources.window_buffer.model import BufferedWindow
from sensors.triggers.hour_complete import judge_hour
from tests.integration.dagster_plant import HOUR, configuration

QUARTERS = [HOUR + number * timedelta(minutes=15) for number in range(4)]
OVER = HOUR + timedelta(hours=1, seconds=6)


def state(*stored: int) -> HourState:
    windows = {("c1", start): revision for start, revision in zip(QUARTERS, stored, strict=False) if revision}
    return HourState(HOUR, sum(stored), windows)


def held(start, revision: int, *, is_open: bool = False) -> BufferedWindow:
    end = start + timedelta(minutes=15)
    return BufferedWindow("c1", start, end, revision, end, 1, 1, False, True, 0, is_open)


def test_hour_when_it_lasts_then_it_waits_for_its_end():
    assert "not over before 11:00:05" in judge_hour(configuration(), state(1), {}, HOUR + timedelta(minutes=20)).reason


def test_hour_when_a_window_has_not_closed_then_it_is_waited_for_a_minute_and_then_taken_for_a_gap():
    waiting = judge_hour(configuration(), state(1, 1, 1, 0), {}, OVER)
    assert waiting.reason == "window 2026-11-21T10:45 has not closed yet"
    assert judge_hour(configuration(), state(1, 1, 1, 0), {}, OVER + timedelta(minutes=1)) is None


def test_hour_when_late_readings_are_being_collected_then_it_waits():
    buffer = {QUARTERS[1]: held(QUARTERS[1], 1, is_open=True)}
    assert (
        "10:15 is not stored at its last revision"
        in judge_hour(configuration(), state(1, 1, 1, 1), buffer, OVER).reason
    )


def test_hour_when_all_is_stored_then_it_is_complete():
    buffer = {start: held(start, 1) for start in QUARTERS}
    assert judge_hour(configuration(), state(1, 1, 1, 1), buffer, OVER) is None
