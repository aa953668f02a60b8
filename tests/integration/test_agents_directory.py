"""The search by capability over a real registry: what it finds, how fresh, and what happens when the database goes."""

from __future__ import annotations

import threading

import psycopg
import pytest

from resources.agents.members.directory import CapabilityQuery, Directory
from resources.core.errors import AuthError, ConfigError
from tests.agents_support import until


def put(connection: psycopg.Connection, count: int) -> None:
    connection.execute(
        "INSERT INTO agents.registry (agent_id, agent_name, agent_type, capabilities, status, last_heartbeat, "
        "performance_score) SELECT 'A-' || lpad(n::text, 5, '0'), 'agent', 'boiler', "
        "array['all', 'c' || n %% 10], 'online', now(), n::float8 / %s FROM generate_series(1, %s) n",
        (count, count),
    )


def test_directory_when_agents_change_then_a_search_finds_what_was_committed(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        put(connection, 200)
        with Directory(database_url) as directory:
            every = CapabilityQuery(all=["all"])
            found = directory.find(every)
            assert [entry.agent_id for entry in found] == [f"A-{n:05d}" for n in range(200, 0, -1)]
            assert [entry.agent_id for entry in directory.find(CapabilityQuery(all=["c3"], none=["c4"]))][:2] == [
                "A-00193",
                "A-00183",
            ]
            connection.execute("UPDATE agents.registry SET performance_score = 1.0 WHERE agent_id = 'A-00003'")
            connection.execute("UPDATE agents.registry SET status = 'offline' WHERE agent_id = 'A-00200'")
            connection.execute("UPDATE agents.registry SET capabilities = '{other}' WHERE agent_id = 'A-00199'")
            directory.refresh()
            assert [entry.agent_id for entry in directory.find(every)][:2] == ["A-00003", "A-00198"]
            assert len(directory.find(every)) == 198
            assert len(directory.find(every, only_online=False)) == 199
            assert [entry.agent_id for entry in directory.find(CapabilityQuery(any=["other", "none"]))] == ["A-00199"]
            connection.execute("DELETE FROM agents.registry WHERE agent_id <= 'A-00100'")
            put_back = "INSERT INTO agents.registry (agent_id, agent_name, agent_type, status) VALUES ('B', 'b', 'b', 'offline')"
            connection.execute(put_back)
            # nobody asks for it: the directory reads by itself
            until(lambda: directory.get("B"), "the new agent")
            assert directory.get("A-00050") is None
            assert len(directory.find(CapabilityQuery(), only_online=False)) == 101


def test_directory_when_transactions_overlap_then_none_is_passed_over(database_url: str) -> None:
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        psycopg.connect(database_url) as slow,
    ):
        put(connection, 10)
        # begins before, and ends after, a transaction that the directory reads in between
        slow.execute("UPDATE agents.registry SET capabilities = '{slow}' WHERE agent_id = 'A-00001'")
        with Directory(database_url) as directory:
            connection.execute("UPDATE agents.registry SET capabilities = '{quick}' WHERE agent_id = 'A-00002'")
            directory.refresh()
            assert [entry.agent_id for entry in directory.find(CapabilityQuery(any=["quick", "slow"]))] == ["A-00002"]
            slow.commit()
            directory.refresh()
            assert len(directory.find(CapabilityQuery(any=["quick", "slow"]))) == 2


def test_directory_when_its_connection_is_cut_then_it_connects_anew_and_says_so_if_it_cannot(database_url: str) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    with psycopg.connect(database_url, autocommit=True) as connection:
        put(connection, 3)
        with Directory(database_url, longest_stale_s=0.05) as directory:
            connection.execute(cut, (connection.info.backend_pid,))
            assert len(directory.find(CapabilityQuery(all=["all"]))) == 3
            database = connection.info.dbname
            maintenance = database_url.rsplit("/", 1)[0] + "/postgres"
            with psycopg.connect(maintenance, autocommit=True) as other:
                other.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
                other.execute(f'CREATE DATABASE "{database}"')
            with pytest.raises(ConfigError, match="no tables of the agents"):
                until(lambda: directory.find(CapabilityQuery()) and False, "the database is another one")


def test_directory_when_the_database_is_not_there_then_opening_it_says_so(database_url: str) -> None:
    with pytest.raises(AuthError), Directory(database_url + "_gone"):
        pass


def test_directory_when_searched_by_many_threads_then_each_gets_whole_answers(database_url: str) -> None:
    wrong: list[int] = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        put(connection, 500)
        with Directory(database_url, longest_stale_s=0.02) as directory:

            def search() -> None:
                for _ in range(100):
                    found = directory.find(CapabilityQuery(all=["all"], any=["c1", "c2"]))
                    if len(found) != 100 or any(entry is None for entry in found):
                        wrong.append(len(found))

            threads = [threading.Thread(target=search) for _ in range(4)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                connection.execute("UPDATE agents.registry SET performance_score = random(), last_heartbeat = now()")
            for thread in threads:
                thread.join()
    assert wrong == []
