"""Configuration of a Modbus tag: where a value lies, and how its registers are to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, StrictModel, TagConfig

Table = Literal["holding_register", "input_register", "coil", "discrete_input"]
DataType = Literal[
    "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64",
    "bcd16", "bcd32", "bitfield", "string", "bool",
]  # fmt: skip

WORDS: dict[str, int] = {
    "bool": 1, "int16": 1, "uint16": 1, "bcd16": 1, "bitfield": 1, "int32": 2, "uint32": 2, "float32": 2, "bcd32": 2,
    "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip
"""Data type -> registers (or coils) it takes; a string takes its `length`."""

INTEGER_RANGES: dict[str, tuple[int, int]] = {
    "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1), "bcd16": (0, 9_999), "bcd32": (0, 99_999_999),
    "bitfield": (0, 2**16 - 1),
}  # fmt: skip
"""Data type -> least and greatest number in its registers."""

TIME_WORDS = 4
"""Registers of a device's own time."""

LAST_ADDRESS = 65_535

_REFERENCE = re.compile(r"^([0134])(\d{4,5})$")
_TABLE_OF_DIGIT: dict[str, Table] = {
    "0": "coil", "1": "discrete_input", "3": "input_register", "4": "holding_register",
}  # fmt: skip
_BITS = re.compile(r"^(\d{1,2})(?:-(\d{1,2}))?$")
_LAST_BIT = 15


def parse_reference(reference: str | int) -> tuple[Table, int]:
    """Return table and zero-based address of a reference as manuals write it: 40001 and 400001 are holding register 0.

    Raises:
        ValueError: It can be read in several ways, or in none.
    """
    text = str(reference)
    match = _REFERENCE.match(text)
    if match is None:
        if isinstance(reference, int) and len(text) < 5:
            raise ValueError(
                f"reference {text} is ambiguous: YAML drops leading zeros, or reads what follows as octal. Write a "
                "reference in quotes with five or six digits ('00001' is the first coil), or give table and address"
            )
        raise ValueError(
            f"reference {text} is none: it has five or six digits, the first 0 (coil), 1 (discrete input), 3 (input "
            "register) or 4 (holding register); for a number as on the wire use address"
        )
    number = int(match.group(2))
    if not 1 <= number <= LAST_ADDRESS + 1:
        raise ValueError(f"reference {text}: the number after the first digit counts from 1 to 65536")
    return _TABLE_OF_DIGIT[match.group(1)], number - 1


class ModbusTag(TagConfig):
    """One value in the registers of a unit."""

    table: Table | None = None
    """Which of the four tables; holding_register if absent, or the one that `reference` names."""
    address: int | None = Field(None, ge=0, le=LAST_ADDRESS)
    """Zero-based, as on the wire; either this or `reference`, or both where they agree."""
    reference: str | int | None = None
    """As manuals write it: 40001 or 400001 is the first holding register, `time_register` and `scale_register` are
    then references too. A reference that begins with 0 is written in quotes."""
    unit_id: int | None = Field(None, ge=0, le=255)
    """The unit that has it, where several stand behind one gateway or on one line; the source's if absent."""
    data_type: DataType = "float32"
    """`bool` for coils and discrete inputs, the others for registers."""
    byte_order: Literal["big", "little"] = "big"
    """Order of the two bytes in a register."""
    word_order: Literal["big", "little"] = "big"
    """Order of the registers of one value."""
    length: int | None = Field(None, ge=1, le=125)
    """Registers of a string, two characters each."""
    encoding: Literal["ascii", "latin-1", "utf-8"] = "ascii"
    """Characters of a string."""
    bits: str | int | None = None
    """Of a bitfield: one bit (3), or the first and the last ("4-7"); bit 0 is the lowest."""
    scale_register: int | None = Field(None, ge=0, le=999_999)
    """SunSpec scale factor: a register (int16) in the same table that holds the power of ten the value is multiplied
    by; it is read in the same poll."""
    not_implemented: Literal["sunspec"] | float | None = None
    """What the registers hold where the device has no such value: the number itself, or `sunspec` for that standard's
    number of the type (int16 -32768, uint16 65535, NaN ...). The reading then is bad and has no value."""
    time_register: int | None = Field(None, ge=0, le=999_999)
    """Address, in the same table, of the device's own time for this value: uint64, microseconds since 1970 UTC, in the
    tag's byte and word order. It is read in the same request as the value, and then is the source time."""
    poll_interval: Duration | None = None
    """Time between two polls of this tag; the source's if absent."""

    @model_validator(mode="before")
    @classmethod
    def _a_string_is_a_text(cls, values: Any) -> Any:
        # only where nothing else is said: a string with `states` becomes numbers
        if not isinstance(values, Mapping) or values.get("data_type") != "string":
            return values
        if values.get("data") is None and not values.get("states"):
            values = {**values, "data": "text"}
        if values.get("data") == "text" and values.get("unit") is None:
            values = {**values, "unit": "1"}
        return values

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.reference is None:
            if self.address is None:
                raise ValueError(
                    f"tag {self.sensor_id}: give its address (zero-based, as on the wire) or its reference"
                )
        else:
            try:
                table, address = parse_reference(self.reference)
                for name in ("time_register", "scale_register"):
                    if getattr(self, name) is not None and parse_reference(getattr(self, name))[0] != table:
                        raise ValueError(
                            f"{name} {getattr(self, name)} is not in the table of reference {self.reference}"
                        )
            except ValueError as error:
                raise ValueError(f"tag {self.sensor_id}: {error}") from error
            if (self.address, self.table) not in ((None, None), (None, table), (address, None), (address, table)):
                raise ValueError(
                    f"tag {self.sensor_id}: reference {self.reference} is {table} {address} (zero-based), and table "
                    f"and address say otherwise: leave one of them out"
                )
        end = max(last for _, last in self.spans)
        if end > LAST_ADDRESS + 1:
            raise ValueError(f"tag {self.sensor_id}: its registers end at {end - 1}, beyond {LAST_ADDRESS}")
        return self

    @model_validator(mode="after")
    def _type_fits_table(self) -> Self:
        bits = self.where in ("coil", "discrete_input")
        if (self.data_type == "bool") != bits:
            raise ValueError(
                f"tag {self.sensor_id}: data_type bool goes with coil and discrete_input, and only with them"
            )
        if bits and (self.time_register is not None or self.scale_register is not None):
            raise ValueError(f"tag {self.sensor_id}: a {self.where} has no time_register and no scale_register")
        if self.is_text != (self.data_type == "string" and not self.states):
            raise ValueError(
                f"tag {self.sensor_id}: data_type string is a text, or has states; no other type is a text"
            )
        if self.states and self.data_type != "string":
            raise ValueError(f"tag {self.sensor_id}: states go with data_type string; numbers are stored as they are")
        if self.poll_interval is not None and self.poll_interval <= timedelta(0):
            raise ValueError(f"tag {self.sensor_id}: poll_interval must be longer than 0s")
        return self

    @model_validator(mode="after")
    def _type_has_its_keys(self) -> Self:
        for key, data_type in (("length", "string"), ("bits", "bitfield")):
            if (getattr(self, key) is not None) != (self.data_type == data_type):
                raise ValueError(f"tag {self.sensor_id}: {key} goes with data_type {data_type}, and only with it")
        if self.bits is not None:
            first, last = self.bit_range
            if not first <= last <= _LAST_BIT:
                raise ValueError(f'tag {self.sensor_id}: bits {self.bits} is none of 0 to 15 or a range such as "4-7"')
        if self.data_type == "string" and self.scale_register is not None:
            raise ValueError(f"tag {self.sensor_id}: a string has no scale_register")
        self._sentinel_fits()
        return self

    def _sentinel_fits(self) -> None:
        if self.not_implemented is None or self.not_implemented == "sunspec":
            if self.not_implemented and self.data_type == "bool":
                raise ValueError(f"tag {self.sensor_id}: a {self.where} has no not_implemented")
            return
        number = float(self.not_implemented)
        low, high = INTEGER_RANGES.get(self.data_type, (-float("inf"), float("inf")))
        if self.data_type in ("string", "bool") or not low <= number <= high:
            raise ValueError(f"tag {self.sensor_id}: not_implemented {number:g} is no {self.data_type}")

    # -- what it comes to --------------------------------------------------------------------------------------------

    @property
    def where(self) -> Table:
        """The table."""
        if self.reference is not None:
            return parse_reference(self.reference)[0]
        return self.table or "holding_register"

    def zero_based(self, key: str) -> int | None:
        """Return the zero-based address that `address`, `time_register` or `scale_register` means, None if unset."""
        value: int | None = getattr(self, key)
        if self.reference is None:
            return value
        if key == "address":
            return parse_reference(self.reference)[1]
        return None if value is None else parse_reference(value)[1]

    @property
    def first_address(self) -> int:
        """Zero-based address of the value itself."""
        found = self.zero_based("address")
        assert found is not None
        return found

    @property
    def words(self) -> int:
        """Registers (or bits) of the value itself."""
        return self.length or WORDS.get(self.data_type, 1)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """What must be read for it, each in one request, as half-open stretches: value and time; the scale factor."""
        first, end = self.first_address, self.first_address + self.words
        if (time := self.zero_based("time_register")) is not None:
            first, end = min(first, time), max(end, time + TIME_WORDS)
        scale = self.zero_based("scale_register")
        return ((first, end),) if scale is None else ((first, end), (scale, scale + 1))

    @property
    def bit_range(self) -> tuple[int, int]:
        """First and last bit of a bitfield; (1, 0) where `bits` is none."""
        match = _BITS.match(str(self.bits))
        if match is None:
            return 1, 0
        return int(match.group(1)), int(match.group(2) or match.group(1))


class AddressRange(StrictModel):
    """Registers that must never be read, not even on the way to others."""

    table: Table = "holding_register"
    """The table they are in."""
    first: int = Field(ge=0, le=LAST_ADDRESS)
    """Zero-based."""
    last: int = Field(ge=0, le=LAST_ADDRESS)
    """The last one, included."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"forbidden_addresses: last {self.last} comes before first {self.first}")
        return self
