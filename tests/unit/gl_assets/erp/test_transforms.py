"""Standard rows of energy consumption: time zones, meters, scores, and the judging of rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pandera.pandas as pa
import pytest

from gl_assets.erp.plots import amounts_chart
from gl_assets.erp.sap_energy import sap_energy
from gl_assets.schemas.energy_consumption import ENERGY_CONSUMPTION
from gl_assets.transforms.erp_energy import MeterFacts, SystemFacts, standard_energy
from gl_assets.transforms.erp_validation import judge
from resources.demo_plant.erp.sap.books.measurements import Document, MeterBook
from resources.erp.sap.codec import documents_table
from resources.erp.sap.config import SapConfig
from resources.erp.standard import LandedRecord
from tests.unit.resources.transport.test_parts import settings

SEEN = datetime(2026, 11, 22, tzinfo=UTC)


def landed(documents: Iterable[Document]) -> list[LandedRecord]:
    return [LandedRecord(str(d["MeasurementDocument"]), d, SEEN, SEEN) for d in documents]


def berlin_day(day: date, point: str = "B1-GAS") -> list[Document]:
    return [d for d in MeterBook(zone="Europe/Berlin").day(day) if d["MeasuringPoint"] == point]


def config(**meter: object) -> SapConfig:
    meters = {"B1-GAS": {"energy_type": "natural_gas", "plant_code": "P", **meter}} if meter else {}
    return SapConfig.model_validate(settings(time_zone="Europe/Berlin", meters=meters))


@pytest.mark.parametrize(
    ("day", "hours", "first"),
    [
        (date(2026, 10, 25), 25, datetime(2026, 10, 24, 22, tzinfo=UTC)),
        (date(2026, 3, 29), 23, datetime(2026, 3, 28, 23, tzinfo=UTC)),
        (date(2026, 6, 1), 24, datetime(2026, 5, 31, 22, tzinfo=UTC)),
    ],
)
def test_hours_when_the_clock_changes_stay_an_hour_apart(day: date, hours: int, first: datetime) -> None:
    rows = sap_energy(landed(reversed(berlin_day(day))), "sap", config(interval="1h")).rows
    ends = sorted(rows["period_end"])
    assert ends == [first + timedelta(hours=n) for n in range(hours)]
    assert sorted(rows["period_start"]) == [end - timedelta(hours=1) for end in ends]


def test_a_time_when_the_clock_leaves_it_out_is_the_end_of_the_gap() -> None:
    document = {**berlin_day(date(2026, 3, 29))[0], "MsmtRdngTime": "02:30:00"}
    rows = sap_energy(landed([document]), "sap", config()).rows
    assert rows["period_end"][0] == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("meter", "score"),
    [
        ({}, 0.0),
        ({"location_code": "L"}, 0.6),
        ({"cost_center": "C"}, 0.8),
        ({"cost_center": "C", "interval": "1h"}, 1.0),
    ],
)
def test_the_score_when_less_is_known_is_lower(meter: dict[str, str], score: float) -> None:
    rows = sap_energy(landed(berlin_day(date(2026, 6, 1))[:1]), "sap", config(**meter)).rows
    assert rows["quality_score"][0] == pytest.approx(score)
    assert rows["energy_type"][0] == ("natural_gas" if meter else "unknown")


def test_an_empty_day_when_transformed_is_an_empty_table() -> None:
    found = sap_energy([], "sap", config())
    judged = judge(found.rows, ENERGY_CONSUMPTION, found.problems)
    assert len(judged.good) == len(judged.reasons) == 0
    assert list(judged.good.columns)


def test_rows_when_they_break_rules_are_told_apart() -> None:
    found = sap_energy(landed(berlin_day(date(2026, 6, 1))[:4]), "sap", config(interval="1h"))
    rows = found.rows.copy()
    rows.loc[0, "consumption_value"] = -rows.loc[0, "consumption_value"]
    rows.loc[1, "source_key"] = rows.loc[2, "source_key"]
    rows.loc[3, "period_start"] = rows.loc[3, "period_end"]
    judged = judge(rows, ENERGY_CONSUMPTION, found.problems)
    assert len(judged.good) == 0
    assert judged.reasons[0][0].startswith("consumption_value: a consumption must not be negative (found -")
    assert "occurs more than once" in judged.reasons[1][0]
    assert judged.reasons[3] == ["the period must start before it ends"]


def test_a_missing_column_when_judged_is_an_error_of_ours() -> None:
    found = sap_energy(landed(berlin_day(date(2026, 6, 1))[:1]), "sap", config())
    with pytest.raises(pa.errors.SchemaErrors):
        judge(found.rows.drop(columns="meter_id"), ENERGY_CONSUMPTION, found.problems)


def test_a_frame_when_given_keeps_its_order_and_is_not_changed() -> None:
    table = documents_table(berlin_day(date(2026, 6, 1))[:3], config())
    documents = table.to_pandas(types_mapper=pd.ArrowDtype)
    documents["source_key"], documents["changed_at"], documents["ingested_at"] = documents["document"], SEEN, SEEN
    before = documents.copy()
    rows = standard_energy(documents, SystemFacts("s", "c", "UTC", {"B1-GAS": MeterFacts("gas")}))
    pd.testing.assert_frame_equal(documents, before)
    assert list(rows["source_key"]) == list(documents["document"])


def test_a_chart_when_drawn_is_an_image_inside_markdown() -> None:
    totals = pd.Series([1.0, 2.0], index=pd.MultiIndex.from_tuples([("M1", "t"), ("M2", "kW.h")]))
    assert amounts_chart(totals, "today").md_str.startswith("![today](data:image/png;base64,iVBOR")  # type: ignore[union-attr]
