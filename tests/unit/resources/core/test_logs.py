from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from resources.core.configuration.settings import EnvSecret
from resources.core.process.logs import Logging, performance_log, security_log, setup_logging
from resources.core.process.rotating import SharedRotatingFileHandler


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    level, config = root.level, structlog.get_config()
    yield
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def logs(tmp_path: Path, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logging]:
    monkeypatch.setenv("PLANT_PASSWORD", "hunter2222")
    logging_ = setup_logging("info", tmp_path / "logs", secrets=[EnvSecret("PLANT_PASSWORD")], stream=stream)
    yield logging_
    logging_.close()


def read(tmp_path: Path, name: str) -> str:
    return (tmp_path / "logs" / f"{name}.log").read_text()


@pytest.mark.usefixtures("logs")
def test_event_when_logged_then_key_values_on_stderr_and_in_the_file(tmp_path: Path, stream: io.StringIO) -> None:
    structlog.get_logger("sensors.x").warning("source_lost", source="boilers", rows=3, error="no reply in 3 s")
    line = stream.getvalue()
    assert 'level=warning event=source_lost source=boilers rows=3 error="no reply in 3 s" logger=sensors.x' in line
    assert line == read(tmp_path, "integration")


@pytest.mark.usefixtures("logs")
def test_event_when_below_the_level_then_not_written(stream: io.StringIO) -> None:
    structlog.get_logger("sensors.x").debug("detail")
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("logs")
def test_performance_when_logged_then_only_in_its_file(tmp_path: Path, stream: io.StringIO) -> None:
    performance_log().info("commit", rows=1000, seconds=0.01)
    assert "event=commit rows=1000" in read(tmp_path, "performance")
    assert stream.getvalue() == read(tmp_path, "integration") == ""


@pytest.mark.usefixtures("logs")
def test_security_when_logged_then_in_its_file_and_in_all_else(tmp_path: Path, stream: io.StringIO) -> None:
    security_log().warning("source_refused_us", source="boilers")
    assert "source_refused_us" in read(tmp_path, "security")
    assert "source_refused_us" in read(tmp_path, "integration")
    assert "source_refused_us" in stream.getvalue()
    assert read(tmp_path, "performance") == ""


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(
    "fields",
    [
        {"error": "login as plant with hunter2222 refused"},
        {"password": "anything-else"},
        {"header": "Authorization: Bearer anything-else"},
        {"url": "postgresql://plant:anything-else@127.0.0.1/db"},
        {"nested": {"token": "anything-else"}},
    ],
    ids=["known-value", "by-field-name", "bearer", "url", "nested"],
)
def test_secret_when_in_a_field_then_nowhere_to_be_seen(
    tmp_path: Path, stream: io.StringIO, fields: dict[str, object]
) -> None:
    structlog.get_logger("sensors.x").error("refused", **fields)
    for text in (stream.getvalue(), read(tmp_path, "integration")):
        assert "hunter2222" not in text
        assert "anything-else" not in text
        assert "***" in text


@pytest.mark.usefixtures("logs")
def test_secret_when_in_a_traceback_or_a_library_then_masked(stream: io.StringIO) -> None:
    try:
        raise ValueError("hunter2222")
    except ValueError:
        structlog.get_logger("sensors.x").exception("boom")
    logging.getLogger("pymodbus").warning("login %s", "hunter2222")
    assert "hunter2222" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert 'event="login ***"' in stream.getvalue()


@pytest.mark.usefixtures("logs")
def test_library_when_it_chatters_then_only_warnings_are_kept(stream: io.StringIO) -> None:
    logging.getLogger("pymodbus").info("packet")
    logging.getLogger("asyncua.client").warning("Requested session timeout to be 3600000ms, got 600000ms instead")
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("logs")
def test_line_break_when_in_a_value_then_one_line_all_the_same(stream: io.StringIO) -> None:
    structlog.get_logger("sensors.x").warning("odd", text="a\nlevel=error event=forged", **{"two words": 1})
    assert stream.getvalue().count("\n") == 1
    assert "two_words=1" in stream.getvalue()


def test_record_when_it_cannot_be_rendered_then_one_line_says_so(logs: Logging) -> None:
    handler = next(h for h in logging.getLogger().handlers if isinstance(h, SharedRotatingFileHandler))
    record = logging.LogRecord("asyncua", logging.ERROR, __file__, 1, "%d rows, password=%s", ("none", "x"), None)
    line = handler.format(record)
    assert line.startswith("level=error event=log_record_unreadable logger=asyncua")
    assert "\n" not in line


def test_setup_when_made_again_then_each_line_comes_once(tmp_path: Path, stream: io.StringIO) -> None:
    setup_logging("warning", tmp_path, stream=stream)
    logs = setup_logging("info", stream=stream)
    structlog.get_logger("sensors.x").info("seen")
    logs.close()
    assert stream.getvalue().count("event=seen") == 1
    assert (tmp_path / "integration.log").read_text() == ""


def test_setup_when_without_a_folder_then_stderr_alone(tmp_path: Path, stream: io.StringIO) -> None:
    logs = setup_logging("debug", stream=stream)
    structlog.get_logger("sensors.x").debug("seen")
    performance_log().info("unseen")
    logs.close()
    structlog.get_logger("sensors.x").debug("too late")
    assert stream.getvalue().count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("logs")
def test_event_when_foreign_text_holds_what_a_terminal_obeys_then_it_is_escaped(
    tmp_path: Path, stream: io.StringIO
) -> None:
    said = "gone\x1b[2J\x1b]0;x\x07 \u202egnp.exe Größe\tx\r\nlevel=info event=forged"
    structlog.get_logger("x").warning("system_says", words=said)
    logging.getLogger("library").warning("said %s", said)
    for line in stream.getvalue().splitlines():
        assert line.isprintable()
        assert r"gone\x1b[2J" in line
        assert r"\u202egnp.exe Größe" in line
        assert not line.startswith("level=info event=forged")
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.usefixtures("logs")
def test_event_when_text_is_no_unicode_then_it_is_escaped(tmp_path: Path, stream: io.StringIO) -> None:
    # not by `logging`: what it says goes into pytest's own reports, which cannot hold half a character
    structlog.get_logger("x").warning("system_says", words="half \ud800 a character")
    assert r"half \ud800 a character" in stream.getvalue()
    assert read(tmp_path, "integration").count(r"\ud800") == 1
