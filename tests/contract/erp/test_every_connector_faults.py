"""What every ERP connector does when its system, or what stands before it, misbehaves."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from _pytest.mark import ParameterSet

from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.erp.connector import Day
from tests.contract.erp.pulling import pull
from tests.contract.erp.rig import HARMLESS, PASSING, SYSTEM, ErpRig, Trouble, rigs

LASTING: dict[Trouble, type[SourceError]] = {
    Trouble.THROTTLED: ThrottledError,
    Trouble.UNAVAILABLE: ThrottledError,
    Trouble.BAD_GATEWAY: UnreachableError,
    Trouble.SERVER_ERROR: ProtocolError,
    Trouble.FORBIDDEN: AuthError,
    Trouble.LOGIN_PAGE: ProtocolError,
    Trouble.TRUNCATED: ProtocolError,
    Trouble.NOT_UTF8: ProtocolError,
    Trouble.DROPPED: UnreachableError,
    Trouble.FOREIGN_LINK: ProtocolError,
    Trouble.REPEATED_PAGE: ProtocolError,
    Trouble.OTHER_DAY: ProtocolError,
}
"""Trouble that does not end -> the error it is."""


def _cases(troubles: Collection[Trouble]) -> list[ParameterSet]:
    return [
        pytest.param(kind, trouble, id=f"{kind}-{trouble.name.lower()}")
        for kind, rig in sorted(rigs().items())
        for trouble in Trouble
        if trouble in rig.troubles and trouble in troubles
    ]


@pytest.mark.parametrize(("running", "trouble"), _cases(PASSING), indirect=["running"])
def test_a_trouble_when_it_passes_costs_nothing(rig: ErpRig, trouble: Trouble) -> None:
    rig.misbehave(rig.troubles[trouble], times=2, after=1)
    config = rig.config()
    found = pull(rig, rig.facts, Day(rig.day), config)
    assert sorted(found.keys(config, rig.facts)) == sorted(rig.keys(rig.facts, rig.day))


@pytest.mark.parametrize(("running", "trouble"), _cases(HARMLESS), indirect=["running"])
def test_an_oddity_when_it_is_no_error_loses_no_record(rig: ErpRig, trouble: Trouble) -> None:
    rig.misbehave(rig.troubles[trouble], times=1)
    found = pull(rig, rig.facts, Day(rig.day))
    assert len(found.records) == len(rig.keys(rig.facts, rig.day))


@pytest.mark.parametrize(("running", "trouble"), _cases(LASTING), indirect=["running"])
def test_a_trouble_when_it_lasts_is_told_with_system_dataset_and_day(rig: ErpRig, trouble: Trouble) -> None:
    rig.misbehave(rig.troubles[trouble], times=20)
    with pytest.raises(LASTING[trouble]) as met:
        pull(rig, rig.facts, Day(rig.day))
    words = str(met.value)
    assert words.startswith(f"{SYSTEM}: ")
    assert met.value.source == SYSTEM
    assert rig.facts in words
    assert rig.day.isoformat() in words
    assert "page" in words
    assert not any(secret in words for secret in rig.environment.values())
    assert "\n" not in words


@pytest.mark.parametrize(("running", "trouble"), _cases(LASTING), indirect=["running"])
def test_a_trouble_when_it_lasts_is_not_asked_for_more_than_three_times(rig: ErpRig, trouble: Trouble) -> None:
    rig.misbehave(rig.troubles[trouble], times=20)
    before = rig.requests()[0]
    with pytest.raises(SourceError):
        pull(rig, rig.facts, Day(rig.day))
    assert rig.requests()[0] - before <= 3


def test_a_token_when_it_expires_in_the_middle_of_a_pull_is_renewed(rig: ErpRig) -> None:
    if not rig.has_tokens:
        return
    config = rig.config()
    client = rig.client(config)
    try:
        pages = iter(client.fetch(rig.facts, Day(rig.day)))
        records = list(next(pages).records)
        before = rig.requests()[1]
        rig.expire_tokens()
        for page in pages:
            records += page.records
    finally:
        client.close()
    assert len(records) == len(set(records)) == len(rig.keys(rig.facts, rig.day))
    assert rig.requests()[1] - before == 1


def test_a_wrong_secret_when_used_again_is_sent_once_and_never_shown(
    rig: ErpRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in rig.environment:
        monkeypatch.setenv(name, "not-the-secret")
    rig.expire_tokens()
    before = rig.requests()
    client = rig.client(rig.config())
    try:
        for _ in range(3):
            with pytest.raises(AuthError) as refused:
                list(client.fetch(rig.facts, Day(rig.day)))
            assert "not-the-secret" not in str(refused.value)
    finally:
        client.close()
    data, tokens = (now - then for now, then in zip(rig.requests(), before, strict=True))
    assert (data, tokens) == ((0, 1) if rig.has_tokens else (1, 0))


def test_a_system_when_it_is_away_is_unreachable(rig: ErpRig) -> None:
    settings = rig.settings()
    settings["http"]["base_url"] = "https://127.0.0.1:1"
    config = type(rig.config()).model_validate(settings)
    with pytest.raises(SourceError) as met:
        pull(rig, rig.facts, Day(rig.day), config)
    # where tokens come from another address, that one may still answer
    assert isinstance(met.value, UnreachableError)


def test_an_answer_when_it_is_larger_than_allowed_is_refused(rig: ErpRig) -> None:
    with pytest.raises(ProtocolError, match="max_response_bytes"):
        pull(rig, rig.facts, Day(rig.day), rig.config(http={"max_response_bytes": 1024}))
