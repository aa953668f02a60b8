"""Landed records as rows of a standard table, by declared field rules. Arrow in, frame out; no row is looped over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa_schema
import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.erp.facts import Standardised, SystemFacts
from gl_assets.transforms.erp.fields import FieldReader
from gl_assets.transforms.erp.meters import add_meters
from gl_assets.transforms.erp.problems import Problems
from gl_assets.transforms.erp.records import Records
from gl_assets.transforms.erp.rules import RuleReader, one_chunk, sources
from gl_assets.transforms.erp.sap_readings import SAP_READINGS
from gl_assets.transforms.erp.special import SpecialReading
from gl_assets.transforms.values.texts import constant, json_objects
from resources.erp.declared import DatasetConfig
from resources.erp.records import ALTERED, NO_KEY

ALTERED_PATH = ALTERED.replace(".", "\\.")
"""The mark of a record that could not be kept as it was, as a path."""

SPECIAL: dict[tuple[str, str], SpecialReading] = {("sap", "MeasurementDocument"): SAP_READINGS}
"""(kind of system, resource) -> what reads fields that no rule can."""

_OF_EVERY_TABLE = ("system", "source_key", "changed_at", "ingested_at", "quality_score", "extra")


def standardise(
    columns: pa.Table, dataset: DatasetConfig, schema: pa_schema.DataFrameSchema, facts: SystemFacts
) -> Standardised:
    """Return landed records as rows of a standard table, in the order given.

    Args:
        columns: What `landed_columns` gives: source_key, changed_at, ingested_at, and one column of text per path of
            `paths_read(dataset, facts.kind)`.
        dataset: Rules (`fields`), further fields (`extra`), which records no longer count.
        schema: The table: its columns' types and kinds decide how a value is read.
        facts: System, zone, units, meters, day.

    Returns:
        Rows, what is wrong with some of them (`gl_assets.transforms.erp.validation.judge` rejects those), and which
        are withdrawn. A bad value is null in its row; the score is 0 until `gl_assets.transforms.erp.scoring` gives it.

    Raises:
        ConfigError: A rule takes a setting or a segment that the system does not have.
    """
    records = _records(columns, dataset, schema, facts)
    altered = pc.equal(records.reader.property(ALTERED_PATH), "true")
    records.problems.add(altered, "holds characters or numbers that a database cannot keep; they were replaced")
    _say_what_has_no_key(records, columns)
    special = SPECIAL.get((facts.kind, dataset.resource))
    _read_fields(records, skip=special.columns if special else ())
    if special:
        special.read(records)
    _add_what_follows(records)
    _judge_business_date(records)
    _say_what_is_missing(records)
    rows, problems = _frame(records, columns), records.problems
    return Standardised(rows, problems.series(), pd.Series(_withdrawn(records)), problems.by_column())


def paths_read(dataset: DatasetConfig, kind: str) -> tuple[str, ...]:
    """Return every path that standardising a dataset of a kind of system reads, for `landed_columns`."""
    special = SPECIAL.get((kind, dataset.resource))
    more = special.paths if special else ()
    return tuple(dict.fromkeys([*dataset.properties, *more, ALTERED_PATH]))


def _records(
    columns: pa.Table, dataset: DatasetConfig, schema: pa_schema.DataFrameSchema, facts: SystemFacts
) -> Records:
    reader = RuleReader(columns, facts.settings)
    problems = Problems(columns.num_rows)
    series = dataset.fields.get("meter_id") if "meter_id" in schema.columns else None
    order = one_chunk(columns.column("source_key"))
    fields = FieldReader(reader, facts, problems, order=order, series=series)
    nothing = np.zeros(columns.num_rows, bool)
    return Records(dataset, schema, facts, reader, fields, problems, withdrawn=nothing)


def _say_what_has_no_key(records: Records, columns: pa.Table) -> None:
    """Refuse records that nothing tells from others: each change of one would be a further row."""
    records.problems.add(
        pc.starts_with(columns.column("source_key"), NO_KEY),
        f"the key ({', '.join(records.dataset.key)}) is not whole, or longer than any: no other version of the record "
        "would be found again",
        column="source_key",
    )


def _read_fields(records: Records, skip: tuple[str, ...]) -> None:
    for name, column in records.schema.columns.items():
        rule = records.dataset.fields.get(name)
        if name in _OF_EVERY_TABLE or name in skip or rule is None:
            continue
        records.values[name] = records.fields.read(name, rule, column)


def _add_what_follows(records: Records) -> None:
    """Add the fields that follow from others, and from what the configuration says."""
    facts, values, columns = records.facts, records.values, records.schema.columns
    company = values.get("company")
    values["company"] = constant(facts.company, records.rows) if company is None else company.fill_null(facts.company)
    if facts.business_date is not None and facts.business_date not in values and facts.day is not None:
        values[facts.business_date] = pa.array([facts.day], pa.date32()).take(
            pa.array(np.zeros(records.rows, np.int32))
        )
    if "energy_type" in columns:
        add_meters(records)
    if "debit_credit" in columns and "debit_credit" not in values and "amount" in values:
        negative = pc.less(values["amount"], pa.scalar(0, values["amount"].type))
        values["debit_credit"] = pc.if_else(negative, "credit", "debit")


def _judge_business_date(records: Records) -> None:
    """Refuse rows whose date is not the day they were landed under: a repeated pull would not find them again."""
    name, day = records.facts.business_date, records.facts.day
    if name is None or day is None:
        return
    found = records.values[name]
    records.problems.add(
        pc.not_equal(found, pa.scalar(day, pa.date32())),
        f"{name} {{}} is not the day {day} it was landed under: the dataset's business_date and fields.{name} disagree",
        column=name,
        shown=found.cast(pa.string()),
    )


def _say_what_is_missing(records: Records) -> None:
    for name, column in records.schema.columns.items():
        if name in _OF_EVERY_TABLE:
            continue
        if name not in records.values:
            records.values[name] = pa.nulls(records.rows, column.dtype.type.pyarrow_dtype)
        if not column.nullable:
            rule = records.dataset.fields.get(name)
            missing = records.values[name].is_null().to_numpy(zero_copy_only=False) & ~records.problems.told(name)
            records.problems.add(missing, f"{sources(rule) if rule else name} is missing", column=name)


def _withdrawn(records: Records) -> np.ndarray:
    withdrawn = records.withdrawn
    for condition in records.dataset.withdrawn_when:
        withdrawn = withdrawn | records.reader.holds(condition).to_numpy(zero_copy_only=False)
    return withdrawn


def _frame(records: Records, columns: pa.Table) -> pd.DataFrame:
    values = {
        **records.values,
        "system": constant(records.facts.system, records.rows),
        "extra": _extra(records),
        "quality_score": pa.array(np.zeros(records.rows, np.float32)),
        **{name: columns.column(name) for name in ("source_key", "changed_at", "ingested_at")},
    }
    table = pa.table({name: values[name] for name in records.schema.columns})
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _extra(records: Records) -> pa.Array:
    """Return the mapped fields beyond the table's, as JSON: those of `extra`, and rules for other columns."""
    more = {name: records.reader.property(path) for name, path in records.dataset.extra.items()}
    for name, rule in records.dataset.fields.items():
        if name not in records.schema.columns:
            more[name] = records.fields.text(name, rule)
    return json_objects(more, records.rows)
