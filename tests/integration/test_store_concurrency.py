"""Two writers of one window, and a writer that dies in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg

from resources.databases.timescale.window_store import ledger
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.databases.timescale.window_store.readings_table import KINDS
from tests.integration.store_builders import SENSORS, START, query, stored, until, window

FLOW = SENSORS[0].sensor_id


def _waiting(url: str) -> int:
    return query(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")[0][0]


def _store(url: str, revision: int, value: float, collector: str = "edge") -> bool:
    with ReadingsStore(url) as store:
        return store.replace_window(window([(0, n, value) for n in range(100)], revision, collector=collector)).stored


def test_two_runs_when_the_older_revision_gets_its_turn_last_then_the_newer_one_stands(database_url: str):
    with ThreadPoolExecutor(2) as pool, psycopg.connect(database_url) as holder:
        ledger.lock_window(holder, START)
        newer = pool.submit(_store, database_url, 2, 2.0)
        until(lambda: _waiting(database_url) == 1)
        older = pool.submit(_store, database_url, 1, 1.0)
        until(lambda: _waiting(database_url) == 2)
        holder.commit()
        wait([newer, older])

    assert (newer.result(), older.result()) == (True, False)
    assert stored(database_url) == [(FLOW, n, 2.0) for n in range(100)]
    assert query(database_url, "SELECT stored_revision FROM scada.window_ledger") == [(2,)]


def test_many_writers_of_one_window_when_all_start_at_once_then_the_newest_revision_stands_without_duplicates(
    database_url: str,
):
    ready = threading.Barrier(4)

    def write(revision: int) -> bool:
        ready.wait()
        return _store(database_url, revision, float(revision), collector="edge" if revision % 2 else "other")

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(write, range(1, 5)))

    assert any(outcomes)
    found = stored(database_url)
    assert len(found) == 100
    assert len({second for _, second, _ in found}) == 100
    revisions = dict(query(database_url, "SELECT collector, stored_revision FROM scada.window_ledger"))
    assert revisions == {"edge": 3, "other": 4}


def _killed_while(url: str, step: Callable[[psycopg.Connection], None]) -> None:
    """Do something in a transaction and end its server process as a crash would, before the commit."""
    victim = psycopg.connect(url)
    step(victim)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (victim.info.backend_pid,))
    victim.close()


def test_writer_when_killed_in_the_middle_of_a_window_then_the_old_rows_stand_and_the_next_run_succeeds(
    database_url: str,
):
    _store(database_url, 1, 1.0)

    def half_a_window(connection: psycopg.Connection) -> None:
        ledger.lock_window(connection, START)
        connection.execute("DELETE FROM scada.readings")
        with connection.cursor().copy(f"COPY scada.readings ({', '.join(KINDS)}) FROM STDIN") as copy:
            copy.write_row([START, 5.0, 5.0, START, 1, 1, 100.0, 0, 0])

    _killed_while(database_url, half_a_window)

    assert stored(database_url) == [(FLOW, n, 1.0) for n in range(100)]
    assert query(database_url, "SELECT stored_revision FROM scada.window_ledger") == [(1,)]
    assert _store(database_url, 2, 2.0)
    assert stored(database_url) == [(FLOW, n, 2.0) for n in range(100)]


def test_new_sensors_when_two_collectors_meet_them_in_other_order_then_neither_waits_for_ever(database_url: str):
    ready = threading.Barrier(2)

    def write(collector: str, sensors: tuple) -> bool:
        with ReadingsStore(database_url) as store:
            ready.wait()
            return store.replace_window(window([(0, 1, 1.0), (1, 2, 2.0)], collector=collector, sensors=sensors)).stored

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write, "edge", SENSORS)
        second = pool.submit(write, "other", SENSORS[::-1])
        assert first.result(timeout=60)
        assert second.result(timeout=60)
    assert query(database_url, "SELECT count(*) FROM scada.sensors") == [(2,)]
