import numpy as np

from resources.databases.timescale.window_store.conflicts import TableRows, plan, resolve_within

NAN = float("nan")


def rows(*found: tuple[int, int, float, int, int]) -> TableRows:
    """Rows of (sensor_key, time, value, ingested_at, origin_key)."""
    columns = list(zip(*found, strict=True)) if found else [[]] * 5
    return TableRows(
        sensor_key=np.array(columns[0], np.int32),
        time=np.array(columns[1], np.int64),
        value=np.array(columns[2], np.float64),
        calibrated_value=np.array(columns[2], np.float64),
        ingested_at=np.array(columns[3], np.int64),
        origin_key=np.array(columns[4], np.int32),
        quality_score=np.full(len(found), 100, np.float32),
        status=np.zeros(len(found), np.int16),
        defects=np.zeros(len(found), np.int16),
    )


def decide(incoming: TableRows, stored: TableRows, own: list[bool]) -> dict[str, list[int]]:
    found = plan(incoming, stored, np.array(own, dtype=bool), 0)
    return {n: getattr(found, n).tolist() for n in ("write", "repeated", "lost", "stale", "displaced")}


NOTHING = {"write": [], "repeated": [], "lost": [], "stale": [], "displaced": []}


def test_plan_when_nothing_is_stored_then_everything_is_written():
    assert decide(rows((1, 5, 1.0, 9, 1), (2, 5, 1.0, 9, 1)), rows(), []) == NOTHING | {"write": [0, 1]}


def test_plan_when_own_rows_are_the_same_then_nothing_is_to_do():
    stands = rows((2, 5, NAN, 9, 1), (1, 5, 1.0, 9, 1))

    assert decide(rows((1, 5, 1.0, 9, 1), (2, 5, NAN, 9, 1)), stands, [True, True]) == NOTHING


def test_plan_when_an_own_row_changed_then_the_old_one_goes_and_the_new_one_is_written():
    assert decide(rows((1, 5, 2.0, 9, 1)), rows((1, 5, 1.0, 9, 1)), [True]) == NOTHING | {"write": [0], "stale": [0]}


def test_plan_when_only_the_origin_changed_then_the_row_is_written_anew():
    assert decide(rows((1, 5, 1.0, 9, 2)), rows((1, 5, 1.0, 9, 1)), [True]) == NOTHING | {"write": [0], "stale": [0]}


def test_plan_when_an_own_row_vanished_then_it_goes():
    assert decide(rows((1, 6, 1.0, 9, 1)), rows((1, 5, 1.0, 9, 1)), [True]) == NOTHING | {"write": [0], "stale": [0]}


def test_plan_when_another_arrival_has_the_same_value_then_it_is_a_repetition():
    assert decide(rows((1, 5, NAN, 9, 1)), rows((1, 5, NAN, 3, 2)), [False]) == NOTHING | {"repeated": [0]}


def test_plan_when_the_very_same_arrival_comes_again_then_it_is_not_counted():
    assert decide(rows((1, 5, 1.0, 9, 1)), rows((1, 5, 1.0, 9, 1)), [False]) == NOTHING


def test_plan_when_the_incoming_contradicts_later_then_it_displaces():
    found = decide(rows((1, 5, 2.0, 9, 1)), rows((1, 5, 1.0, 3, 2)), [False])

    assert found == NOTHING | {"write": [0], "displaced": [0]}


def test_plan_when_the_incoming_contradicts_earlier_then_it_is_lost():
    assert decide(rows((1, 5, 2.0, 3, 1)), rows((1, 5, 1.0, 9, 2)), [False]) == NOTHING | {"lost": [0]}


def test_resolve_within_when_keys_ascend_then_all_rows_stay_as_they_are():
    found = resolve_within(rows((1, 5, 1.0, 1, 1), (1, 6, 1.0, 1, 1), (2, 5, 1.0, 1, 1)), 0)

    assert found.kept is None


def test_resolve_within_when_a_key_occurs_twice_then_the_later_arrival_is_kept():
    found = resolve_within(
        rows((2, 5, 1.0, 1, 1), (1, 5, 7.0, 1, 1), (1, 6, 3.0, 1, 1), (1, 5, 8.0, 2, 2), (2, 5, 1.0, 2, 2)), 0
    )

    assert found.kept is not None
    assert (found.kept.tolist(), found.repeated.tolist(), found.lost.tolist()) == ([3, 2, 4], [0], [1])


def test_resolve_within_when_the_database_numbers_sensors_otherwise_then_rows_are_put_in_order():
    found = resolve_within(rows((2, 5, 1.0, 1, 1), (1, 5, 2.0, 1, 1)), 0)

    assert found.kept is not None
    assert (found.kept.tolist(), found.repeated.tolist(), found.lost.tolist()) == ([1, 0], [], [])
