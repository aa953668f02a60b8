"""What an ERP system does wrong in the middle of a pull: the run ends right, or fails in words and leaves no half day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from resources.demo_plant.erp.sap.login import SapLogin
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform, failure
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

DAY = date(2026, 11, 18)
DAYS = [DAY + timedelta(days=number) for number in range(3)]
A_DAYS_DOCUMENTS = 8 * 24
PAGES_A_DAY = 4
ONLY = ["erp/sap/energy_consumption", "erp/energy_consumption"]


@pytest.fixture(scope="module")
def sap(authority: CertificateAuthority) -> Iterator[SapServer]:
    with sap_server(authority) as server:
        yield server


@pytest.fixture
def platform(sap: SapServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Platform]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    http = {"attempts": 3, "retry_time": "2s", "max_response_bytes": 8_000_000}
    yield Platform(sap.integrations(http=http, datasets=["energy_consumption"]), database_url, tmp_path)
    calm(sap)


def calm(sap: SapServer) -> None:
    while sap.control.next_fault() or sap.control.next_fault(token=True):
        pass


@dataclass
class Case:
    """A fault on the second page of the second of three days, and what becomes of it."""

    kind: str
    says: str | None = None
    """What the failure says; None where the run succeeds."""
    options: dict[str, Any] = field(default_factory=dict)
    ends: bool = False
    """True where the fault would meet all days: the third one is not tried."""
    page: int = 2
    """The page that the failure names."""

    def __str__(self) -> str:
        return f"{self.kind}-{self.options.get('times', 1)}"


CASES = [
    Case("unauthorized"),
    Case("throttle", options={"times": 2, "retry_after": "0"}),
    Case("throttle", "HTTP 429.*asks for a pause", {"times": 20, "retry_after": "60"}, ends=True),
    Case("unavailable", options={"times": 2, "retry_after": "0"}),
    Case("server_error", "HTTP 500"),
    Case("forbidden", "HTTP 403.*permission", ends=True),
    Case("drop"),
    Case("truncated", "not JSON.*cut off"),
    Case("html_login", "text/html.*login page"),
    Case("redirect", "HTTP 302.*login"),
    Case("not_utf8", "not UTF-8"),
    Case("wrong_charset"),
    Case("foreign_link", "refused to follow a link to .*other-host", page=3),
    Case("repeat_page", "links to a page already read"),
    Case("other_day", "ignores .*filter"),
    Case("empty_page"),
    Case("huge_field", "larger than http.max_response_bytes"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_range_when_a_page_goes_wrong_ends_right_or_says_what_to_do(
    case: Case, platform: Platform, sap: SapServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sap.control.misbehave(case.kind, after=PAGES_A_DAY + 1, **case.options)
    result = platform.pull(DAYS[0], DAYS[-1], only=ONLY)
    stored = [DAYS[0], *([] if case.says else [DAYS[1]]), *([] if case.ends else [DAYS[2]])]
    assert result.success == (case.says is None)
    landed = "SELECT partition_date, count(*), count(DISTINCT source_key) FROM erp.landed_records GROUP BY 1 ORDER BY 1"
    assert platform.rows(landed) == [(day, A_DAYS_DOCUMENTS, A_DAYS_DOCUMENTS) for day in stored]
    if case.says is None:
        return
    message = failure(result).partition("stack=")[0]
    for named in ("sap", "energy_consumption", DAYS[1].isoformat(), f"page {case.page}"):
        assert named in message
    assert re.search(case.says, message, re.DOTALL)
    if case.kind not in ("throttle", "truncated"):
        return
    calm(sap)
    # the pause that a system asks for is kept by all processes of a home
    monkeypatch.setenv("GL_HOME", str(tmp_path / "an hour later"))
    healed = platform.pull(DAYS[0], DAYS[-1], only=ONLY)
    assert healed.success
    assert platform.rows(landed) == [(day, A_DAYS_DOCUMENTS, A_DAYS_DOCUMENTS) for day in DAYS]
    standard = "SELECT transaction_date, count(*) FROM erp.energy_consumption GROUP BY 1 ORDER BY 1"
    assert platform.rows(standard) == [(day, A_DAYS_DOCUMENTS) for day in DAYS]
