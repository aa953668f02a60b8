from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.core.configuration.settings import Fingerprints, StrictModel, TagConfig, Writable

BOUNDS = {"minimum": 20, "maximum": 45, "max_step": 2}
DIGITS = "0123456789abcdef" * 4


class Pinned(StrictModel):
    pinned_sha256: Fingerprints = ()


def test_tag_when_nothing_is_said_then_it_is_read_only() -> None:
    assert TagConfig(sensor_id="a", unit="bar").writable is None


@pytest.mark.parametrize("missing", sorted(BOUNDS))
def test_writable_when_a_bound_is_missing_then_it_is_refused(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Writable.model_validate({name: value for name, value in BOUNDS.items() if name != missing})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"minimum": 45}, "is not below"),
        ({"maximum": float("inf")}, "finite"),
        ({"max_step": 0}, "greater than 0"),
        ({"tolerance": -1}, "greater than or equal"),
        ({"read_back_timeout": "0s"}, "longer than 0s"),
    ],
)
def test_writable_when_a_bound_makes_no_sense_then_it_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Writable.model_validate(BOUNDS | changes)


@pytest.mark.parametrize(
    "written", [DIGITS, DIGITS.upper(), ":".join(DIGITS[n : n + 2] for n in range(0, 64, 2))], ids=["low", "UP", "a:b"]
)
def test_fingerprint_when_written_in_any_usual_way_then_it_is_the_same(written: str) -> None:
    assert Pinned(pinned_sha256=written).pinned_sha256 == (DIGITS,)
    assert Pinned(pinned_sha256=(written, DIGITS)).pinned_sha256 == (DIGITS, DIGITS)


@pytest.mark.parametrize("wrong", [DIGITS[:40], DIGITS + "0", "g" * 64, "", 5], ids=str)
def test_fingerprint_when_it_is_none_then_the_message_says_how_to_get_one(wrong: object) -> None:
    with pytest.raises(ValidationError, match="openssl x509"):
        Pinned.model_validate({"pinned_sha256": [wrong]})
