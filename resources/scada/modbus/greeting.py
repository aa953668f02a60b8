"""A request that a live Modbus TCP device answers at once, before anybody counts on it: a sign of life."""

from __future__ import annotations

import struct

from resources.scada.modbus.planner import Block

_FUNCTIONS = {"coil": 1, "discrete_input": 2, "holding_register": 3, "input_register": 4}
_TRANSACTION = 0x474C


def read_request(block: Block) -> bytes:
    """Return the request that reads the first register (or bit) of `block`.

    MBAP header (transaction id, protocol 0, length 6, unit, big-endian), then function code, address, count. Example:
    holding register 16 of unit 1 is `47 4c 00 00 00 06 01 03 00 10 00 01`.
    Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3.
    """
    return struct.pack(">HHHBBHH", _TRANSACTION, 0, 6, block.unit_id, _FUNCTIONS[block.table], block.address, 1)
