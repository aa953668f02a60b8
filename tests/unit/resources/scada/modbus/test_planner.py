from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.planner import Block, halves, plan, seam
from resources.scada.modbus.registers import RegisterMap


def _config(*tags: dict[str, Any], **changes: Any) -> ModbusConfig:
    made = [{"sensor_id": f"s{n}", "unit": "kW", **tag} for n, tag in enumerate(tags)]
    return ModbusConfig.model_validate({"kind": "modbus", "host": "h", "tags": made} | changes)


def _plan(config: ModbusConfig, refused: Sequence[Block] = ()) -> list[Block]:
    registers = RegisterMap(config)
    return plan(config, registers, registers.needed(range(len(config.tags))), refused)


def _block(table: str, address: int, count: int, items: tuple[int, ...], unit: int = 1) -> Block:
    return Block(unit, table, address, count, items)


def test_plan_when_tags_are_neighbours_then_one_request_reads_them() -> None:
    config = _config({"address": 4}, {"address": 0}, {"address": 2})
    assert _plan(config) == [_block("holding_register", 0, 6, (1, 2, 0))]


@pytest.mark.parametrize(("gap", "blocks"), [(8, 1), (7, 2), (0, 2)])
def test_plan_when_a_gap_lies_between_then_max_gap_decides(gap: int, blocks: int) -> None:
    assert len(_plan(_config({"address": 0}, {"address": 10}, max_gap=gap))) == blocks


def test_plan_when_max_registers_is_reached_then_a_new_block_begins() -> None:
    config = _config(*({"address": 2 * n} for n in range(100)), max_registers=125)
    found = _plan(config)
    assert len(found) == 2
    assert sum(block.count for block in found) == 200


def test_plan_when_the_number_is_the_same_then_the_least_registers_are_read() -> None:
    # greedily the first request would reach over the gap to the tag at 8, the second read 10 to 13 alone
    config = _config(*({"address": n, "data_type": "int16"} for n in (0, 8, 10, 13)), max_registers=9, max_gap=8)
    assert [(b.address, b.count) for b in _plan(config)] == [(0, 1), (8, 6)]


def test_plan_when_tables_and_units_differ_then_they_are_never_mixed() -> None:
    config = _config(
        {"address": 0},
        {"address": 2, "table": "input_register"},
        {"address": 3, "table": "coil", "data_type": "bool"},
        {"address": 2, "unit_id": 7},
    )
    assert {(b.unit_id, b.table) for b in _plan(config)} == {
        (1, "holding_register"), (1, "input_register"), (1, "coil"), (7, "holding_register"),
    }  # fmt: skip


def test_plan_when_a_unit_has_limits_of_its_own_then_they_count_for_it() -> None:
    tags = [{"address": 2 * n, "unit_id": unit} for unit in (1, 2) for n in range(10)]
    config = _config(*tags, max_registers=40, units={2: {"max_registers": 10, "max_gap": 0}})
    assert [(b.unit_id, b.count) for b in _plan(config)] == [(1, 20), (2, 10), (2, 10)]


def test_plan_when_tags_are_coils_then_sixteen_times_as_many_fit() -> None:
    config = _config(*({"address": n, "table": "coil", "data_type": "bool"} for n in range(1900)), max_registers=100)
    found = _plan(config)
    assert len(found) == 2
    assert sum(b.count for b in found) == 1900


def test_plan_when_a_tag_has_a_time_register_then_both_are_in_its_block() -> None:
    config = _config({"address": 0, "time_register": 20}, {"address": 100, "time_register": 90}, max_gap=0)
    assert [(b.address, b.count) for b in _plan(config)] == [(0, 24), (90, 12)]


def test_plan_when_many_values_share_a_time_register_then_it_is_read_with_each() -> None:
    tags = [{"address": 10 + 2 * n, "time_register": 0} for n in range(15)]
    assert _plan(_config(*tags, max_registers=40)) == [_block("holding_register", 0, 40, tuple(range(15)))]


def test_plan_when_values_share_a_scale_factor_then_it_is_read_once() -> None:
    config = _config(*({"address": n, "data_type": "int16", "scale_register": 60} for n in range(4)), max_gap=8)
    assert _plan(config) == [
        _block("holding_register", 0, 4, (0, 1, 2, 3)), _block("holding_register", 60, 1, (4,)),
    ]  # fmt: skip


def test_plan_when_registers_are_forbidden_then_no_request_touches_them() -> None:
    tags = [{"address": n, "data_type": "int16"} for n in (0, 2, 4, 8)]
    config = _config(*tags, forbidden_addresses=[{"first": 3, "last": 3}, {"table": "coil", "first": 5, "last": 6}])
    assert [(b.address, b.count) for b in _plan(config)] == [(0, 3), (4, 5)]


def test_halves_when_a_block_is_cut_then_no_item_is_lost_and_ends_are_tight() -> None:
    config = _config({"address": 0}, {"address": 4}, {"address": 8})
    first, second = halves(RegisterMap(config), _plan(config)[0])
    assert (first, second) == (_block("holding_register", 0, 2, (0,)), _block("holding_register", 4, 6, (1, 2)))


def test_plan_when_a_stretch_was_refused_then_tags_are_merged_around_it_only() -> None:
    config = _config(*({"address": 2 * n} for n in range(6)))
    refused = [_block("holding_register", 5, 2, ()), _block("input_register", 0, 1, ())]
    assert [(b.address, b.count) for b in _plan(config, refused)] == [(0, 6), (6, 6)]


def test_seam_when_halves_lie_apart_then_it_spans_the_hole_and_else_the_whole_block() -> None:
    block = _block("coil", 0, 20, (0, 1))
    assert seam(block, _block("coil", 0, 4, (0,)), _block("coil", 10, 10, (1,))) == _block("coil", 3, 8, ())
    assert seam(block, _block("coil", 0, 12, (0,)), _block("coil", 4, 16, (1,))) == block


# -- against every other way to read the same --------------------------------------------------------------------------


@st.composite
def _maps(draw: st.DrawFn) -> ModbusConfig:
    longest = draw(st.integers(2, 9))
    forbidden = draw(st.lists(st.tuples(st.integers(0, 24), st.integers(0, 2)), max_size=2))
    closed = {address for first, more in forbidden for address in range(first, first + more + 1)}
    wanted = draw(
        st.lists(st.tuples(st.integers(0, 24), st.sampled_from(["int16", "int32", "int64"])), min_size=1, max_size=7)
    )
    sizes = {"int16": 1, "int32": 2, "int64": 4}
    tags = [
        {"address": address, "data_type": kind}
        for address, kind in wanted
        if sizes[kind] <= longest and closed.isdisjoint(range(address, address + sizes[kind]))
    ]
    return _config(
        *(tags or [{"address": 40, "data_type": "int16"}]),
        max_registers=longest,
        max_gap=draw(st.integers(0, 4)),
        forbidden_addresses=[{"first": first, "last": first + more} for first, more in forbidden],
    )


def _is_legal(config: ModbusConfig, first: int, end: int, members: Sequence[tuple[int, int]]) -> bool:
    limits = config.limits(1)
    if end - first > limits.max_registers:
        return False
    if any(a < end and first < b for a, b in limits.forbidden_in("holding_register")):
        return False
    unused = 0
    for address in range(first, end):
        unused = 0 if any(a <= address < b for a, b in members) else unused + 1
        if unused > limits.max_gap:
            return False
    return True


def _cheapest(config: ModbusConfig) -> tuple[int, int]:
    """Return requests and registers of the best of all ways to put the items into legal requests."""
    items = frozenset(tag.spans[0] for tag in config.tags)

    @cache
    def best(left: frozenset[tuple[int, int]]) -> tuple[int, int]:
        if not left:
            return 0, 0
        one, others = min(left), sorted(left - {min(left)})
        found = []
        for size in range(len(others) + 1):
            for more in combinations(others, size):
                members = (one, *more)
                first, end = min(a for a, _ in members), max(b for _, b in members)
                if _is_legal(config, first, end, members):
                    requests, registers = best(left - set(members))
                    found.append((requests + 1, registers + end - first))
        return min(found)

    return best(items)


@settings(deadline=None, max_examples=300)
@given(config=_maps())
def test_plan_when_compared_with_every_other_way_then_none_is_better(config: ModbusConfig) -> None:
    found = _plan(config)
    spans = [tag.spans[0] for tag in config.tags]
    assert sorted(position for block in found for position in block.items) == list(range(len(spans)))
    for block in found:
        members = [spans[position] for position in block.items]
        assert all(block.address <= first and end <= block.end for first, end in members)
        assert _is_legal(config, block.address, block.end, members)
    assert (len(found), sum(block.count for block in found)) == _cheapest(config)
