from typing import Any

import pytest
from pydantic import ValidationError

from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.planner import Block, halves, plan, seam


def _config(*tags: dict[str, Any], **changes: Any) -> ModbusConfig:
    made = [{"sensor_id": f"s{n}", "unit": "kW", **tag} for n, tag in enumerate(tags)]
    return ModbusConfig.model_validate({"kind": "modbus", "host": "h", "tags": made} | changes)


def _plan(config: ModbusConfig) -> list[Block]:
    return plan(config, range(len(config.tags)))


def test_plan_when_tags_are_neighbours_then_one_request_reads_them() -> None:
    config = _config({"address": 4}, {"address": 0}, {"address": 2})
    assert _plan(config) == [Block("holding_register", 0, 6, (1, 2, 0))]


@pytest.mark.parametrize(("gap", "blocks"), [(8, 1), (7, 2), (0, 2)])
def test_plan_when_a_gap_lies_between_then_max_gap_decides(gap: int, blocks: int) -> None:
    assert len(_plan(_config({"address": 0}, {"address": 10}, max_gap=gap))) == blocks


def test_plan_when_max_registers_is_reached_then_a_new_block_begins() -> None:
    config = _config(*({"address": 2 * n} for n in range(100)), max_registers=125)
    assert [(b.address, b.count) for b in _plan(config)] == [(0, 124), (124, 76)]


def test_plan_when_tables_differ_then_they_are_never_mixed() -> None:
    config = _config(
        {"address": 0}, {"address": 2, "table": "input_register"}, {"address": 3, "table": "coil", "data_type": "bool"}
    )
    assert {b.table for b in _plan(config)} == {"holding_register", "input_register", "coil"}


def test_plan_when_tags_are_coils_then_sixteen_times_as_many_fit() -> None:
    config = _config(*({"address": n, "table": "coil", "data_type": "bool"} for n in range(1900)), max_registers=100)
    assert [b.count for b in _plan(config)] == [1600, 300]


def test_plan_when_a_tag_has_a_time_register_then_both_are_in_its_block() -> None:
    config = _config({"address": 0, "time_register": 20}, {"address": 100, "time_register": 90}, max_gap=0)
    assert [(b.address, b.count) for b in _plan(config)] == [(0, 24), (90, 12)]


def test_plan_when_many_values_share_a_time_register_then_it_is_read_with_each() -> None:
    tags = [{"address": 10 + 2 * n, "time_register": 0} for n in range(15)]
    assert _plan(_config(*tags, max_registers=40)) == [Block("holding_register", 0, 40, tuple(range(15)))]


def test_halves_when_a_block_is_cut_then_no_tag_is_lost_and_ends_are_tight() -> None:
    config = _config({"address": 0}, {"address": 4}, {"address": 8})
    first, second = halves(config.tags, _plan(config)[0])
    assert (first, second) == (Block("holding_register", 0, 2, (0,)), Block("holding_register", 4, 6, (1, 2)))


@pytest.mark.parametrize(
    ("tag", "changes", "words"),
    [
        ({"address": 0, "time_register": 200}, {}, "s0: its registers 0 to 203 do not fit into one request"),
        ({"address": 0, "data_type": "float64"}, {"max_registers": 3}, "one request of max_registers 3"),
        ({"address": 65535}, {}, "s0: its registers end at 65536, beyond 65535"),
        ({"address": 0, "table": "coil"}, {}, "data_type bool goes with coil"),
        ({"address": 0, "table": "coil", "data_type": "bool", "time_register": 4}, {}, "a coil has no time_register"),
        ({"address": 0}, {"tls": True}, "tls needs ca_certificate"),
        ({"address": 0}, {"client_key": "k.pem"}, "go together"),
        ({"address": 0}, {"poll_interval": "0s"}, "longer than 0s"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_config_when_a_tag_cannot_be_read_then_it_is_refused(
    tag: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        _config(tag, **changes)


def test_plan_when_a_stretch_was_refused_then_tags_are_merged_around_it_only() -> None:
    config = _config(*({"address": 2 * n} for n in range(6)))
    refused = {Block("holding_register", 5, 2, ()), Block("input_register", 0, 1, ())}
    assert [(b.address, b.count) for b in plan(config, range(6), refused)] == [(0, 6), (6, 6)]


def test_seam_when_halves_lie_apart_then_it_spans_the_hole_and_else_the_whole_block() -> None:
    block = Block("coil", 0, 20, (0, 1))
    assert seam(block, Block("coil", 0, 4, (0,)), Block("coil", 10, 10, (1,))) == Block("coil", 3, 8, ())
    assert seam(block, Block("coil", 0, 12, (0,)), Block("coil", 4, 16, (1,))) == block
