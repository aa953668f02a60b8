"""SAP measurement documents: which number is the amount used, of the four that a document holds.

A document holds what was entered (value and unit) and copies in the SI unit of its dimension, kWh as joule. What was
entered is the amount used, except for a counter whose value was entered: there it is the counter's position, and the
amount is the difference to the one before, which SAP keeps in the SI unit.

Source: SAP Business Accelerator Hub, OP_API_MEASUREMENTDOCUMENT_0001 (titles of the fields).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.erp.records import Records
from gl_assets.transforms.erp.special import SpecialReading
from gl_assets.transforms.values.numbers import AMOUNT, divided, read_numbers
from gl_assets.transforms.values.texts import looked_up
from resources.core.errors import ConfigError
from resources.core.physics.units import conversion
from resources.erp.sap.units import si_of

ENTERED = "MeasurementReadingInEntryUoM"
DIFFERENCE = "MsmtCounterReadingDifference"
COUNTER = "MeasurementCounterReading"
DIFFERENCE_ENTERED = "MsmtCntrReadingDiffIsEntered"
POINT = "MeasuringPoint"
REVERSED = "MsmtRdngIsReversed"

_COLUMN = "consumption_value"


def read_amounts(records: Records) -> None:
    """Add what was used, in the unit of entry; a reversed document is withdrawn."""
    reader, fields, problems = records.reader, records.fields, records.problems
    counter = _is_counter(records)
    units = records.values["consumption_unit"]
    nothing = pa.scalar(None, pa.string())
    entered = pc.if_else(counter, nothing, reader.property(ENTERED))
    moved = pc.if_else(counter, reader.property(DIFFERENCE), nothing)
    problems.add(pc.and_not(entered.is_null(), counter), f"{ENTERED} is missing", column=_COLUMN)
    problems.add(pc.and_(moved.is_null(), counter), f"{DIFFERENCE} is missing", column=_COLUMN)
    used = fields.number(_COLUMN, ENTERED, entered)
    difference = fields.number(_COLUMN, DIFFERENCE, moved)
    records.values[_COLUMN] = pc.if_else(counter, _in_entry_unit(records, difference, units), used)
    records.withdrawn = records.withdrawn | pc.equal(reader.property(REVERSED), "true").fill_null(False).to_numpy(
        zero_copy_only=False
    )


def _is_counter(records: Records) -> pa.Array:
    """Return where the amount is a counter's difference: as the meter's entry says, else by the document."""
    reader = records.reader
    said = looked_up(
        reader.property(POINT),
        {point: meter.reading for point, meter in records.facts.meters.items() if meter.reading != "auto"},
    )
    difference_entered = pc.equal(reader.property(DIFFERENCE_ENTERED), "true").fill_null(False)
    # points that are no counters have the initial value 0 in both
    counts = pc.or_(_not_zero(reader.property(COUNTER)), _not_zero(reader.property(DIFFERENCE)))
    return pc.coalesce(pc.equal(said, "counter"), pc.and_not(counts, difference_entered))


def _not_zero(texts: pa.Array) -> pa.Array:
    return pc.not_equal(read_numbers(texts).values, pa.scalar(0, AMOUNT)).fill_null(False)


def _in_entry_unit(records: Records, difference: pa.Array, units: pa.Array) -> pa.Array:
    """Return differences in SI units in the units of entry, unit by unit: there are few."""
    result = pa.nulls(records.rows, AMOUNT)
    for unit in pc.unique(units.filter(difference.is_valid())).to_pylist():
        if unit is None:
            continue
        here = pc.and_(pc.equal(units, unit).fill_null(False), difference.is_valid())
        try:
            factor, _ = conversion(unit, si_of(unit))
        except ConfigError:
            records.problems.add(
                here,
                f"the counter's difference cannot be converted to {unit}: its SI unit is not known",
                column=_COLUMN,
            )
            continue
        converted = divided(pc.if_else(here, difference, pa.scalar(0, AMOUNT)), factor)
        too_large = pc.and_(here, converted.is_null())
        records.problems.add(too_large, f"{DIFFERENCE} is larger than any amount", column=_COLUMN)
        result = pc.if_else(here, converted, result)
    # without its unit an amount says nothing; the unit is what is wrong then
    records.problems.told(_COLUMN)[units.is_null().to_numpy(zero_copy_only=False)] = True
    return result


SAP_READINGS = SpecialReading(
    columns=(_COLUMN,),
    paths=(ENTERED, DIFFERENCE, COUNTER, DIFFERENCE_ENTERED, POINT, REVERSED),
    read=read_amounts,
)
"""Measurement documents of SAP S/4HANA."""
