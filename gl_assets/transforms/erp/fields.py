"""Fields of a standard table: the text of a rule as the type of the column. What is no such value is a problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pandera.pandas import Column

from gl_assets.schemas.erp_columns import AMOUNT, DAY, INSTANT, KIND
from gl_assets.transforms.erp.facts import SystemFacts
from gl_assets.transforms.erp.problems import Problems
from gl_assets.transforms.erp.rules import RuleReader, sources
from gl_assets.transforms.values.clocks import dates, first_of_repeated, instants
from gl_assets.transforms.values.currencies import known_currencies
from gl_assets.transforms.values.numbers import Numbers, negated, read_numbers, signed
from gl_assets.transforms.values.texts import looked_up
from gl_assets.transforms.values.times import DAY as A_DAY
from gl_assets.transforms.values.times import Mask, Micros, Moments, read_clock_times, read_moments
from gl_assets.transforms.values.unit_codes import counting_unit, ucum_of
from resources.erp.declared import FieldRule

LONGEST_TEXT = 10_000
"""Characters of a text in a standard table; the record itself is kept whole where it was landed."""

_DATE, _INSTANT, _TIME = "2026-01-31", "2026-01-31T10:15:00Z", "10:15:00"


class FieldReader:
    """Reads the fields of one table out of the records of one system."""

    def __init__(
        self,
        reader: RuleReader,
        facts: SystemFacts,
        problems: Problems,
        *,
        order: pa.Array,
        series: FieldRule | None = None,
    ) -> None:
        """Read rules by `reader`; `series` and `order` tell the hour apart that a clock shows twice."""
        self._reader = reader
        self._facts = facts
        self._problems = problems
        self._order = order
        self._series_rule = series

    def read(self, name: str, rule: FieldRule, column: Column) -> pa.Array:
        """Return a field; a value that is none of its column's type is null, and a problem."""
        kind = (column.metadata or {}).get(KIND)
        readers: dict[object, Callable[[str, FieldRule, Column], pa.Array]] = {
            AMOUNT: self._amount,
            DAY: self._day,
            INSTANT: self._instant,
            "unit": self._unit,
            "physical_unit": self._unit,
            "currency": self._currency,
        }
        return readers.get(kind or column.dtype.type, self._text)(name, rule, column)

    def text(self, name: str, rule: FieldRule) -> pa.Array:
        """Return a field of text; of debit and credit the side that has an amount."""
        if rule.debit is not None:
            return self._side(name, rule)
        texts = self._reader.text(rule)
        longest = pc.max(pc.utf8_length(texts)).as_py() or 0
        if longest > LONGEST_TEXT:
            too_long = pc.greater(pc.utf8_length(texts), LONGEST_TEXT)
            self._problems.add(
                too_long, f"{sources(rule)} has more than {LONGEST_TEXT:,} characters, which no {name} has", column=name
            )
            texts = pc.if_else(too_long, pa.scalar(None, pa.string()), texts)
        return texts

    def number(self, name: str, path: str, texts: pa.Array) -> pa.Array:
        """Return texts as decimals; `path` is what a message calls them."""
        return self.judged_numbers(name, path, texts, read_numbers(texts))

    def judged_numbers(self, name: str, path: str, texts: pa.Array, numbers: Numbers) -> pa.Array:
        """Say of each text that is no number that it is none; return the numbers."""
        self._problems.add(numbers.malformed, f"{path} {{}} is no number", column=name, shown=texts)
        self._problems.add(numbers.too_large, f"{path} is larger than any amount", column=name)
        return numbers.values

    def _text(self, name: str, rule: FieldRule, column: Column) -> pa.Array:
        del column
        return self.text(name, rule)

    def _amount(self, name: str, rule: FieldRule, column: Column) -> pa.Array:
        del column
        if rule.debit is not None and rule.credit is not None:
            debit, credit = (
                self.number(name, path, self._reader.part(path, rule)) for path in (rule.debit, rule.credit)
            )
            values = signed(debit, credit)
        else:
            values = self.number(name, sources(rule), self._reader.text(rule))
        return values if rule.negate_when is None else negated(values, self._reader.holds(rule.negate_when))

    def _side(self, name: str, rule: FieldRule) -> pa.Array:
        assert rule.debit is not None
        assert rule.credit is not None
        debit, credit = (read_numbers(self._reader.part(path, rule)).values for path in (rule.debit, rule.credit))
        has_debit = pc.not_equal(debit, pa.scalar(0, debit.type)).fill_null(False)
        has_credit = pc.not_equal(credit, pa.scalar(0, credit.type)).fill_null(False)
        side = pc.if_else(pc.and_not(has_credit, has_debit), "credit", "debit")
        return pc.if_else(pc.or_(debit.is_valid(), credit.is_valid()), side, pa.scalar(None, pa.string()))

    def _unit(self, name: str, rule: FieldRule, column: Column) -> pa.Array:
        texts = self._reader.text(rule)
        codes = [code for code in pc.unique(texts).to_pylist() if code is not None]
        physical = (column.metadata or {})[KIND] == "physical_unit"
        known = {code: self._ucum(code, rule, physical) for code in codes}
        units = looked_up(texts, known)
        unknown = pc.and_(texts.is_valid(), units.is_null())
        self._problems.add(
            unknown, "unit {} is not known: add it to unit_codes of the system", column=name, shown=texts
        )
        return units

    def _ucum(self, code: str, rule: FieldRule, physical: bool) -> str | None:
        if not rule.unit:
            return code
        found = ucum_of(code, self._facts.unit_codes)
        if physical:
            return None if found is None or found.startswith("{") else found
        return found or counting_unit(code)

    def _currency(self, name: str, rule: FieldRule, column: Column) -> pa.Array:
        del column
        texts = pc.utf8_upper(self._reader.text(rule))
        known = known_currencies(texts)
        self._problems.add(
            pc.and_(texts.is_valid(), pc.invert(known)),
            f"{sources(rule)} {{}} is no currency of ISO 4217",
            column=name,
            shown=texts,
        )
        return pc.if_else(known, texts, pa.scalar(None, pa.string()))

    def _day(self, name: str, rule: FieldRule, column: Column) -> pa.Array:
        del column
        expected = self._facts.day if name == self._facts.business_date else None
        return dates(self._moments(name, rule, _DATE), self._facts.time_zone, expected)

    def _instant(self, name: str, rule: FieldRule, column: Column) -> pa.Array:
        zone = self._facts.time_zone
        if rule.date is None:
            moments = self._moments(name, rule, _INSTANT)
        else:
            moments = self._date_and_time(name, rule, required=not column.nullable)
        return instants(moments, zone, self._first(moments))

    def _moments(self, name: str, rule: FieldRule, form: str) -> Moments:
        texts = self._reader.text(rule)
        moments = read_moments(texts)
        self._problems.add(
            moments.malformed, f"{sources(rule)} {{}} is not of the form {form}", column=name, shown=texts
        )
        return moments

    def _date_and_time(self, name: str, rule: FieldRule, *, required: bool) -> Moments:
        date_only = rule.model_copy(update={"time": None})
        moments = self._moments(name, date_only, _DATE)
        # what says its zone is a day of the system's clock all the same: the time of day beside it is
        days = dates(moments, self._facts.time_zone).cast(pa.int32()).fill_null(0).to_numpy().astype(np.int64)
        wall, known = days * A_DAY, moments.known
        if rule.time is not None:
            times = self._reader.part(rule.time, rule)
            clock = read_clock_times(times)
            self._problems.add(
                clock.malformed, f"{rule.time} {{}} is not of the form {_TIME}", column=name, shown=times
            )
            absent = known & ~clock.known & ~clock.malformed
            if required:
                self._problems.add(absent, f"{rule.time} is missing", column=name)
                known = known & ~absent
            wall, known = wall + clock.micros, known & ~clock.malformed
        none = np.zeros(len(wall), bool)
        return Moments(wall, np.zeros(len(wall), np.int64), none, known, none)

    def _first(self, moments: Moments) -> Mask | None:
        local = moments.known & ~moments.zoned
        if self._series is None or not local.any():
            return None
        wall: Micros = np.where(local, moments.wall, 0)
        return first_of_repeated(wall, self._facts.time_zone, self._series, self._order)

    @cached_property
    def _series(self) -> pa.Array | None:
        return None if self._series_rule is None else self._reader.text(self._series_rule)
