from __future__ import annotations

import pytest

from resources.core.errors import ConfigError
from resources.demo_plant.misbehaviour import Plans, is_reading, refuse_impossible
from resources.demo_plant.plant import MODBUS, MQTT, OPC_UA


@pytest.mark.parametrize(("source", "kind"), [(OPC_UA, "late"), (MQTT, "future"), (MODBUS, "garbage")])
def test_refuse_impossible_when_the_protocol_can_do_it_then_says_nothing(source: str, kind: str) -> None:
    refuse_impossible(source, kind)


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        ("nobody", "nan", "no source 'nobody'"),
        (OPC_UA, "sing", "cannot do 'sing'"),
        (MODBUS, "late", "cannot do 'late'"),
    ],
)
def test_refuse_impossible_when_it_cannot_be_done_then_says_what_can(source: str, kind: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        refuse_impossible(source, kind)


def test_plans_when_added_to_then_give_them_back_in_order_and_by_source() -> None:
    plans = Plans()
    plans.add(OPC_UA, "nan", 2)
    plans.add(OPC_UA, "late", 1)
    plans.add(MQTT, "garbage", 1)
    assert plans.waiting() == 4
    assert [plans.take(OPC_UA) for _ in range(4)] == ["nan", "nan", "late", None]
    assert plans.take(MQTT) == "garbage"


def test_is_reading_when_a_connection_is_meant_then_is_false() -> None:
    assert is_reading("nan")
    assert not is_reading("restart")
