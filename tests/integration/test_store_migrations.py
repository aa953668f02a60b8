"""The schema in all editions that can be run here, and migrations by several processes at once."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from resources.core.errors import ConfigError, UnreachableError
from resources.databases.timescale.connection import connect
from resources.databases.timescale.edition import Edition, detect, missing_features, timescale_version
from resources.databases.timescale.migrate import is_current, migrate
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.embedded.postgres import EmbeddedPostgres
from tests.integration.store_builders import query, rejects, stored, texts, window

_COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema IN ('scada', 'quality', 'erp', 'agents', 'platform') ORDER BY 1, 2, 3
"""

_MIGRATE = "import sys; from resources.databases.timescale.migrate import migrate; migrate(sys.argv[1])"


def test_migrate_when_the_server_has_timescaledb_then_readings_are_a_hypertable(empty_database_url: str):
    assert migrate(empty_database_url) is Edition.APACHE
    assert query(empty_database_url, "SELECT count(*) FROM timescaledb_information.hypertables") >= [(3,)]


def test_migrate_when_called_again_then_nothing_happens(empty_database_url: str):
    migrate(empty_database_url)
    before = query(empty_database_url, "SELECT oid FROM pg_class ORDER BY oid")

    migrate(empty_database_url)

    assert query(empty_database_url, "SELECT oid FROM pg_class ORDER BY oid") == before


def test_migrate_when_three_processes_start_at_once_then_all_succeed(empty_database_url: str):
    processes = [
        subprocess.Popen([sys.executable, "-c", _MIGRATE, empty_database_url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outcomes = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]

    assert [code for _, code in outcomes] == [0, 0, 0], outcomes
    with connect(empty_database_url) as connection:
        assert is_current(connection)


def test_is_current_when_not_migrated_then_false(empty_database_url: str):
    with connect(empty_database_url) as connection:
        assert not is_current(connection)


def test_plain_postgresql_when_migrated_then_it_has_the_same_names_and_columns(
    database_url: str, empty_database_url: str
):
    assert migrate(empty_database_url, with_timescale=False) is Edition.PLAIN
    assert query(empty_database_url, _COLUMNS) == query(database_url, _COLUMNS)


def test_plain_postgresql_when_windows_are_stored_then_the_results_are_the_same(
    database_url: str, empty_database_url: str
):
    migrate(empty_database_url, with_timescale=False)
    revisions = [
        window([(0, 10, 1.0), (0, 11, 2.0), (1, 12, None)], texts=texts([(1, "a")]), rejects=rejects([{}])),
        window([(0, 10, 1.0), (0, 11, 3.0)], 2, texts=texts([(1, "b")])),
        window([(0, 11, 9.0)], collector="other", received_s=99),
        window([(0, 13, 4.0)], 3, complete=False),
    ]
    results = []
    for url in (database_url, empty_database_url):
        with ReadingsStore(url) as store:
            results.append([store.replace_window(revision) for revision in revisions])

    assert results[0] == results[1]
    assert stored(database_url) == stored(empty_database_url)


def test_edition_when_plain_then_it_names_what_is_missing(empty_database_url: str):
    with connect(empty_database_url) as connection:
        assert timescale_version(connection) is None
        assert detect(connection) is Edition.PLAIN
    assert not Edition.PLAIN.has_hypertables
    assert missing_features(Edition.COMMUNITY) == ()
    assert any("hypertables" in sentence for sentence in missing_features(Edition.PLAIN))


def test_migrate_when_the_user_may_not_create_then_the_message_says_what_to_do(
    postgres: EmbeddedPostgres, empty_database_url: str
):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    database = empty_database_url.rpartition("/")[2]
    url = f"postgresql://reader:reader@127.0.0.1:{postgres.port}/{database}"

    with pytest.raises(ConfigError, match="make it the owner"):
        migrate(url)


def test_migrate_when_no_server_answers_then_the_message_names_the_address():
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1/x: no connection"):
        migrate("postgresql://u:secret@127.0.0.1:1/x")
