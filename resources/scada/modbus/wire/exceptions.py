"""What a device's exception codes mean, and whether asking again may help.

Source: MODBUS Application Protocol V1.1b3, 7.
"""

from __future__ import annotations

NO_SUCH_FUNCTION = 1
"""The device does not know the function at all."""

STILL_WORKING = 5
"""The device has taken the request and goes on working on it."""

NOT_AS_ASKED = 0x100
"""No code of the standard: the answer is none to the request. It is searched and left out like a refusal."""

PERMANENT = frozenset({1, 2, 3, NOT_AS_ASKED})
"""The request itself is refused: the same request will be refused again."""

UNIT_IS_SILENT = frozenset({10, 11})
"""A gateway's word for a unit behind it that it cannot reach: the same as no answer from that unit."""

_WORDS = {
    1: "illegal function: the device does not have this table, or this client may not use it so",
    2: "illegal data address: the device has no such register; check table and address (zero-based)",
    3: "illegal data value: the device does not give or take this, or not so many registers at once; lower "
    "max_registers",
    4: "server device failure: the device could not access its own register",
    5: "acknowledge: the device is still working on an earlier request",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error in the device",
    10: "gateway path unavailable: the gateway cannot reach this unit; check unit_id",
    11: "gateway target failed to respond: the unit behind the gateway is silent; check unit_id and cabling",
}


class RefusedError(Exception):
    """The device answered a request with an exception code; its connection is fine."""

    def __init__(self, code: int) -> None:
        """Keep the code."""
        super().__init__(words(code))
        self.code = code


def words(code: int) -> str:
    """Return an exception code in words a person understands."""
    if code == NOT_AS_ASKED:
        return "the answer has another length or function than was asked for: lower max_registers, or check the device"
    return (
        f"Modbus exception {code}, {_WORDS.get(code, 'one this platform does not know; see the manual of the device')}"
    )
