from __future__ import annotations

import asyncio

from sensors.collector.supervision.start_gate import StartGate


async def test_gate_when_full_then_the_next_enters_when_one_leaves_in_the_order_they_came() -> None:
    gate = StartGate(places=2, hold_s=3600.0)
    leave = [await gate.enter() for _ in range(2)]
    order: list[int] = []

    async def come(number: int) -> None:
        await gate.enter()
        order.append(number)

    waiting = [asyncio.create_task(come(number)) for number in range(2)]
    await asyncio.sleep(0)
    assert order == []
    leave[0]()
    leave[0]()  # a second time changes nothing
    await asyncio.wait_for(waiting[0], 30)
    assert order == [0]
    leave[1]()
    await asyncio.wait_for(waiting[1], 30)
    assert order == [0, 1]


async def test_gate_when_a_device_does_not_answer_then_its_place_is_free_after_a_while() -> None:
    gate = StartGate(places=1, hold_s=0.01)
    async with asyncio.timeout(30):
        for _ in range(5):
            await gate.enter()  # nobody leaves
