"""How many of the faults planted in readings and records are found, and how many faultless rows are blamed.

A reading's fault is found when the row is rejected with a reason, stored with a lower score, or, where the same reading
came twice, counted. A record's fault is found when the record is rejected or stored with a lower score.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from benchmarks.targets import erp_server as stand_in
from benchmarks.targets import plant
from benchmarks.targets.erp import SYSTEM, Pulling
from benchmarks.targets.place import Place, place
from gl_assets.scada.persist import persist_window
from resources.databases.timescale.connection import connect
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.demo_plant.erp.dynamics.entra import EntraApp

Progress = Callable[[str], None]

SENSORS, SECONDS = 110, 300
_DATASETS = {
    "financial_transactions": "GeneralJournalAccountEntries",
    "production_schedule": stand_in.ORDERS,
}


def measure(progress: Progress) -> dict[str, float]:
    """Return the shares found, and the share of faultless rows that were blamed."""
    with place(progress, {stand_in.SECRET_VARIABLE: EntraApp().client_secret}) as here:
        readings, wronged, faultless = _readings(here, progress)
        records, blamed, sound = _records(here, progress)
    return {
        "faults_readings_found": readings,
        "faults_records_found": records,
        "faults_false_alarms": round((wronged + blamed) / (faultless + sound), 5),
    }


def _readings(here: Place, progress: Progress) -> tuple[float, int, int]:
    """Return the share found, faultless rows that were blamed, and all that are faultless."""
    planted = plant.faults(SENSORS, SECONDS)
    progress(f"{len(planted)} faults in {SENSORS * SECONDS:,} readings")
    config = plant.configuration(SENSORS)
    held = plant.windows(here.folder / "buffer", config, plant.with_faults(plant.seconds(SENSORS, SECONDS), planted))
    with ReadingsStore(here.database_url) as store:
        twice = sum(persist_window(one, store, config, run_id="targets").deduplicated for one in held)
    with connect(here.database_url) as connection:
        flagged = connection.execute(
            "SELECT sensor_id, time FROM scada.rejected_readings UNION ALL"
            " SELECT sensor_id, time FROM scada.sensor_readings WHERE quality_score < 100"
        ).fetchall()
    by_sensor: dict[str, list[plant.Fault]] = {}
    for fault in planted:
        by_sensor.setdefault(plant.sensor_id(fault.sensor), []).append(fault)
    found: set[plant.Fault] = set()
    wronged = 0
    for sensor, time in flagged:
        of_row = [fault for fault in by_sensor.get(sensor, ()) if fault.covers(sensor, time)]
        found.update(of_row)
        wronged += not of_row
    same = [fault for fault in planted if fault.kind == plant.TWICE]
    seen = len(found - set(same)) + min(twice, len(same))
    _tell(progress, Counter(f.kind for f in set(planted) - found - set(same)))
    faulty = sum(fault.until - fault.at + 1 for fault in planted)
    return round(seen / len(planted), 4), wronged, SENSORS * SECONDS - faulty


def _records(here: Place, progress: Progress) -> tuple[float, int, int]:
    found = blamed = total = sound = 0
    with stand_in.serving(here.folder) as base, connect(here.database_url) as connection:
        pulling = Pulling(connection, stand_in.configuration(base, here.folder))
        for dataset, entity_set in _DATASETS.items():
            planted = stand_in.planted(entity_set)
            progress(f"{len(planted)} faults in {stand_in.COUNTS[entity_set]:,} records of {dataset}")
            pulling.pull(dataset, stand_in.full_day())
            pulling.pull(dataset, stand_in.faulty_day())
            flagged = _flagged(pulling, dataset)
            _tell(progress, Counter(kind for number, kind in planted.items() if number not in flagged))
            found += len(planted.keys() & flagged)
            blamed += len(flagged - planted.keys())
            total += len(planted)
            sound += stand_in.COUNTS[entity_set] - len(planted)
    return round(found / total, 4), blamed, sound


def _flagged(pulling: Pulling, dataset: str) -> set[str]:
    """Return the numbers of the faulty day's records that were rejected, or score less than the best of their like."""
    asked = {"system": SYSTEM, "dataset": dataset, "day": stand_in.faulty_day()}
    rejected = pulling.connection.execute(
        "SELECT source_key FROM erp.rejected_records"
        " WHERE system = %(system)s AND dataset = %(dataset)s AND partition_date = %(day)s",
        asked,
    ).fetchall()
    stored = pulling.connection.execute(
        f"SELECT source_key, quality_score FROM erp.{pulling.config.table_of(dataset)} AS t"
        " JOIN erp.landed_records AS l USING (system, source_key)"
        " WHERE system = %(system)s AND dataset = %(dataset)s AND partition_date = %(day)s",
        asked,
    ).fetchall()
    pulling.connection.commit()
    alike, best = stand_in.origins(_DATASETS[dataset]), defaultdict[int, float](float)
    scores = {_number(key): score for key, score in stored}
    for number, score in scores.items():
        best[alike[number]] = max(best[alike[number]], score)
    lowered = {number for number, score in scores.items() if score < best[alike[number]]}
    return lowered | {_number(key) for (key,) in rejected}


def _number(source_key: str) -> str:
    return source_key.rpartition("/")[2]


def _tell(progress: Progress, unfound: Counter[str]) -> None:
    """Say what was not found: a share alone helps nobody to find the reason."""
    for kind, count in unfound.most_common():
        progress(f"not found: {kind}, {count} times")
