"""Refused secrets: remembered across processes, without the secret, until it or a person says otherwise."""

from __future__ import annotations

import hashlib
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.core.errors import AuthError
from resources.transport.auth.config import BasicConfig
from resources.transport.auth.refusals import Refusals
from resources.transport.http.call_stats import CallStats
from tests.unit.resources.transport.web_server import Answer, serving

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
WRONG, RIGHT = (hashlib.sha256(text).digest() for text in (b"wrong", b"right"))


def test_a_refused_secret_when_another_process_comes_is_known_and_no_other_is(tmp_path: Path) -> None:
    first, second = (Refusals("sap", "sap/gl", tmp_path / "refused") for _ in range(2))
    first.check(WRONG)
    second.check(WRONG)
    first.note(WRONG, "sap: refused", NOW)
    for refusals in (first, second, second):
        refusals.check(RIGHT)
        with pytest.raises(AuthError, match=r"sap: refused at 2026-11-22T10.* not sent again.* delete /") as met:
            refusals.check(WRONG)
        assert met.value.source == "sap"
    Refusals("sap", "sap/other", tmp_path / "refused").check(WRONG)
    (file,) = (tmp_path / "refused").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert WRONG.hex() not in file.read_text()
    file.unlink()
    second.check(WRONG)


@pytest.mark.parametrize("torn", [b"", b"{}", b"[]", b'{"salt": "zz"}', b"\xff"])
def test_a_file_when_torn_refuses_nothing(tmp_path: Path, torn: bytes) -> None:
    refusals = Refusals("sap", "sap/gl", tmp_path)
    refusals.note(WRONG, "x", NOW)
    next(tmp_path.iterdir()).write_bytes(torn)
    Refusals("sap", "sap/gl", tmp_path).check(WRONG)


def test_without_a_folder_the_process_remembers() -> None:
    refusals = Refusals("sap", "sap/gl", None)
    refusals.note(WRONG, "no", NOW)
    refusals.check(RIGHT)
    with pytest.raises(AuthError, match="no .the same secret is not sent again, since that may lock the account.$"):
        refusals.check(WRONG)


def test_a_password_when_refused_is_not_sent_by_the_next_client_until_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P", "wrong")
    auth = BasicConfig(type="basic", username="u", password="${P}")
    with serving() as server:
        server.answer = lambda _: Answer(b"{}", 401)
        for _ in range(3):
            with server.client(auth=auth, stats=CallStats("erp", tmp_path)) as http, pytest.raises(AuthError):
                http.get("/")
        assert len(server.asked) == 1
        other = {"sap-client": "200"}
        with (
            server.client(auth=auth, headers=other, stats=CallStats("erp", tmp_path)) as http,
            pytest.raises(AuthError),
        ):
            http.get("/")
        monkeypatch.setenv("P", "right")
        server.answer = lambda _: Answer()
        with server.client(auth=auth, stats=CallStats("erp", tmp_path)) as http:
            assert [http.get("/").status for _ in range(3)] == [200, 200, 200]
    assert len(server.asked) == 5
