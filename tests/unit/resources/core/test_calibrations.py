from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from resources.core.calibration.book import NO_CALIBRATIONS, CalibrationBook
from resources.core.calibration.calibrations import CalibrationConfig, refuse_impossible
from resources.core.configuration.settings import TagConfig
from resources.core.errors import ConfigError
from resources.integrations import load_integrations

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def certificate(number: str = "K-1", **changes: Any) -> CalibrationConfig:
    stated: dict[str, Any] = {"sensor_id": "t", "certificate": number, "valid_from": START}
    if not {"linear", "polynomial", "lookup"} & changes.keys():
        stated["linear"] = {"factor": 1.01}
    return CalibrationConfig.model_validate(stated | changes)


TAGS = {
    "t": TagConfig(sensor_id="t", unit="Cel"),
    "mode": TagConfig(sensor_id="mode", unit="1", data="text"),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"polynomial": [0, 1], "linear": {}}, "give one of linear, polynomial and lookup, not linear and polynomial"),
        ({"lookup": None}, "not none"),
        ({"valid_until": START}, "valid_until is not after valid_from"),
        ({"lookup": [[0, 1], [0, 2]]}, "must ascend in both numbers"),
        ({"lookup": [[0, 1], [1, 1]]}, "must ascend in both numbers"),
        ({"lookup": [[0, 1]]}, "at least 2 items"),
        ({"polynomial": [0, float("inf")]}, "finite"),
        ({"linear": {"factor": 0}}, "greater than 0"),
        ({"linear": {"factor": 1, "gain": 2}}, "Extra inputs"),
        ({"unit": "zorkmid"}, "unknown unit 'zorkmid'"),
        ({"certificate": ""}, "at least 1 character"),
    ],
)
def test_calibration_when_it_says_nothing_sensible_then_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        certificate(**changes)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ([certificate(sensor_id="x")], "K-1 of x: the sensor is not a tag of any source"),
        ([certificate(sensor_id="mode")], "the tag is a text"),
        ([certificate(unit="bar")], "K-1 of t: cannot convert Cel"),
        (
            [certificate(), certificate("K-2", valid_from=START + DAY)],
            "K-2 of t begins 2026-01-02 00:00 UTC, while K-1",
        ),
    ],
)
def test_calibrations_when_they_do_not_fit_the_tags_then_refused(stated: list[CalibrationConfig], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_impossible(stated, TAGS)


def test_calibrations_when_one_begins_where_the_other_ends_then_taken() -> None:
    refuse_impossible(
        [certificate("K-2", valid_from=START + DAY), certificate(valid_until=START + DAY, unit="K")], TAGS
    )


def test_fingerprint_when_only_the_number_differs_then_the_same() -> None:
    assert certificate("K-1").fingerprint == certificate("K-2").fingerprint
    others = [
        certificate(linear={"factor": 1.02}),
        certificate(valid_from=START + DAY),
        certificate(valid_until=START + DAY),
        certificate(sensor_id="u"),
        certificate(unit="K"),
        certificate(polynomial=[0, 1.01]),
        certificate(lookup=[[0, 0], [1, 1.01]]),
    ]
    assert len({certificate().fingerprint, *(one.fingerprint for one in others)}) == 8


def test_set_when_nothing_changes_between_two_windows_then_the_same() -> None:
    first, second = certificate(valid_until=START + DAY), certificate("K-2", valid_from=START + DAY)
    book = CalibrationBook([second, first])
    hour = timedelta(hours=1)
    assert book.set_of(START - hour, START) is NO_CALIBRATIONS
    assert book.set_of(START, START + hour) is book.set_of(START + DAY - hour, START + DAY)
    assert book.set_of(START, START + hour).calibrations == (first,)
    both = book.set_of(START + DAY - hour, START + DAY + hour)
    assert set(both.calibrations) == {first, second}
    assert both.certificates == {"t": "K-2"}
    assert book.set_of(START + DAY, START + DAY + hour).calibrations == (second,)
    assert book.of("t") == [first, second]


def test_set_when_the_atmosphere_is_not_the_standard_one_then_it_is_part_of_it() -> None:
    book = CalibrationBook([], 84.0)
    assert book.set_of(START, START + DAY).members == ("atmosphere 84",)
    assert book.name not in ("", CalibrationBook([], 85.0).name)


CONFIGURATION = """
site: plant
start: 2026-01-01T00:00:00Z
calibrations: {named}
sources:
  plc: {{kind: modbus, host: localhost, tags: [{{sensor_id: t, unit: Cel, address: 0}}]}}
"""
CERTIFICATES = """
calibrations:
  - sensor_id: t
    certificate: K-1
    valid_from: 2026-01-01T00:00:00Z
    linear: {factor: 1.01}
"""


def test_file_when_named_then_its_calibrations_are_taken(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CERTIFICATES, encoding="utf-8")
    file = tmp_path / "integrations.yaml"
    file.write_text(CONFIGURATION.format(named="c.yaml"), encoding="utf-8")
    config = load_integrations(file)
    assert [one.certificate for one in config.calibrations] == ["K-1"]
    assert len(config.calibration_book) == 1
    assert [config.calibration_book.unit_of(one) for one in config.calibrations] == ["Cel"]


@pytest.mark.parametrize(
    ("named", "text", "message"),
    [
        ("away.yaml", CERTIFICATES, r"^integrations.yaml:4: calibrations: .*away.yaml: cannot be read"),
        ("c.yaml", CERTIFICATES.replace("1.01", "x"), r"^c.yaml:6: calibrations.0.linear.factor: "),
        ("c.yaml", CERTIFICATES.replace("sensor_id: t", "sensor_id: u"), r"K-1 of u: the sensor is not a tag"),
    ],
)
def test_file_when_it_is_wrong_then_file_line_and_key_are_named(
    tmp_path: Path, named: str, text: str, message: str
) -> None:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    file = tmp_path / "integrations.yaml"
    file.write_text(CONFIGURATION.format(named=named), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_integrations(file)
