"""Every kind of ERP system in trouble, pulled by Dagster into a database: whole days or none, and words that help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from resources.integrations import Integrations
from resources.transport.trust.certificates import CertificateAuthority
from tests.contract.erp.rig import SYSTEM, ErpRig, Trouble, rigs
from tests.integration.erp_platform import Platform, failure

LASTING = (Trouble.TRUNCATED, Trouble.LOGIN_PAGE, Trouble.FOREIGN_LINK, Trouble.NOT_UTF8, Trouble.THROTTLED)
ODD = {
    "oracle": {"unknown_currency": "currency", "other_date_format": "is not of the form"},
    "dynamics": {"odd_currency": "currency", "odd_date": "is not of the form"},
    "workday": {"odd_currency": "currency", "odd_date": "is not of the form"},
}
"""Kind -> what its fake calls an odd value in a journal line, and a word of the reason it is rejected with."""


@pytest.fixture(scope="module", params=sorted(rigs()))
def running(request: pytest.FixtureRequest, authority: CertificateAuthority) -> Iterator[ErpRig]:
    found = rigs()[request.param](authority)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def rig(running: ErpRig, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[ErpRig]:
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    running.reset()
    with stamina.set_testing(True, attempts=3):
        yield running
    running.reset()


def platform_of(rig: ErpRig, dataset: str, url: str, folder: Path) -> Platform:
    settings = rig.settings(datasets=[dataset])
    config = {"site": "t", "start": "2024-01-01T00:00:00Z", "erp": {"systems": {SYSTEM: settings}}}
    return Platform(Integrations.model_validate(config), url, folder)


def test_a_day_when_its_system_is_in_trouble_is_left_out_whole_and_pulled_once_after(
    rig: ErpRig, database_url: str, tmp_path: Path
) -> None:
    platform = platform_of(rig, rig.facts, database_url, tmp_path)
    only = [f"erp/{SYSTEM}/{rig.facts}"]
    for trouble in [trouble for trouble in LASTING if trouble in rig.troubles]:
        rig.misbehave(rig.troubles[trouble], times=20, after=1)
        result = platform.pull(rig.day, system=SYSTEM, only=only)
        assert not result.success, trouble
        message = failure(result).partition("stack=")[0]
        for named in (f"{SYSTEM}: ", rig.facts, rig.day.isoformat(), "page "):
            assert named in message, trouble
        assert platform.one("SELECT count(*) FROM erp.landed_records") == 0
        rig.reset()
    rig.misbehave(rig.troubles[Trouble.THROTTLED], times=1, after=1)
    rig.expire_tokens()
    assert platform.pull(rig.day, system=SYSTEM, only=only).success
    keys = platform.rows("SELECT count(*), count(DISTINCT source_key) FROM erp.landed_records")
    expected = len(rig.keys(rig.facts, rig.day))
    assert keys == [(expected, expected)]


def test_records_when_odd_are_kept_with_their_reasons_and_the_rest_are_stored(
    rig: ErpRig, database_url: str, tmp_path: Path
) -> None:
    dataset = "financial_transactions"
    platform = platform_of(rig, dataset, database_url, tmp_path)
    only = [f"erp/{SYSTEM}/{dataset}", f"erp/{dataset}"]
    held = len(rig.keys(dataset, rig.day))
    assert held
    for name, reason in ODD.get(rig.kind, {}).items():
        rig.misbehave(name, times=1)
        assert platform.pull(rig.day, system=SYSTEM, only=only).success, name
        reasons = [text for (found,) in platform.rows("SELECT reasons FROM erp.rejected_records") for text in found]
        assert any(reason in text for text in reasons), (name, reasons)
        stored = platform.one("SELECT count(*) FROM erp.financial_transactions")
        assert stored + platform.one("SELECT count(*) FROM erp.rejected_records") >= held
        rig.reset()
    for trouble in (Trouble.NO_KEY, Trouble.HUGE_FIELD):
        if trouble in rig.troubles:
            rig.misbehave(rig.troubles[trouble], times=1)
            platform.pull(rig.day, system=SYSTEM, only=only)
            rig.reset()
    assert platform.pull(rig.day, system=SYSTEM, only=only).success
    assert platform.one("SELECT count(*) FROM erp.financial_transactions") == held
    assert platform.one("SELECT count(*) FROM erp.rejected_records") == 0
