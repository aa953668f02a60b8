import pytest

from resources.core.errors import AuthError, ConfigError, UnreachableError
from resources.databases.timescale.connection import connect, database_url, describe, engine, plain_url
from resources.embedded.postgres import EmbeddedPostgres


def test_database_url_when_unset_then_the_message_names_gl_up():
    with pytest.raises(ConfigError, match="gl up"):
        database_url()


def test_database_url_when_it_names_a_driver_then_the_driver_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GL_DATABASE_URL", "postgresql+psycopg2://u:p@h:1/d")

    assert database_url() == "postgresql://u:p@h:1/d"


def test_plain_url_when_not_postgresql_then_the_message_does_not_repeat_it():
    with pytest.raises(ConfigError) as caught:
        plain_url("mysql://u:secret@h/d")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:1/d", "h:1/d"),
        ("postgres://h/d", "h:5432/d"),
        ("postgresql://u:p@/d?host=/run/pg", "/run/pg:5432/d"),
        ("postgresql://", "localhost:5432/"),
    ],
)
def test_describe_when_given_a_url_then_it_shows_no_secret(url: str, shown: str):
    assert describe(url) == shown


def test_connect_when_nobody_listens_then_unreachable():
    with pytest.raises(UnreachableError, match="check that the server runs"):
        connect("postgresql://u:p@127.0.0.1:1/d")


def test_connect_when_the_password_is_wrong_then_the_message_says_so_without_it(postgres: EmbeddedPostgres):
    url = postgres.url("postgres").replace("postgresql://gl:", "postgresql://gl:wrong")
    with pytest.raises(AuthError, match="check user, password") as caught:
        connect(url)
    assert "wrong" not in str(caught.value)


def test_connect_when_the_database_does_not_exist_then_the_message_says_so(postgres: EmbeddedPostgres):
    with pytest.raises(AuthError, match="does not exist"):
        connect(postgres.url("nowhere"))


def test_engine_when_used_then_it_speaks_to_the_database(database_url: str):
    found = engine(database_url)
    with found.connect() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "gl"
    found.dispose()
