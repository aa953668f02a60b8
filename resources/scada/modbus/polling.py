"""Polling over one connection: what is due is read, what is refused searched, what is silent left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from resources.core.errors import SourceError
from resources.scada.connector import Emit, StatusSink
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.connection import ModbusConnection, SilentUnitError
from resources.scada.modbus.gaps import Gaps
from resources.scada.modbus.planner import Block, halves, seam
from resources.scada.modbus.poll import Outcome, Poll, PollAssembler
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.schedule import Due, Schedule
from resources.scada.modbus.units import Roster
from resources.scada.modbus.wire.exceptions import NO_SUCH_FUNCTION, PERMANENT, RefusedError, words

_GRID = "grid"
_ABSENT = (
    'its registers hold the number that means "not implemented": the device does not have this value, or not now; the '
    "readings are bad and without a value"
)


@dataclass(slots=True)
class Memory:
    """What outlives a connection."""

    config: ModbusConfig
    registers: RegisterMap
    assembler: PollAssembler
    receive_time: Callable[[], int]
    """Returns the time of an answer, microseconds; later than any before, unless the wall clock was set back."""
    roster: Roster
    failed: dict[int, str] = field(default_factory=dict)
    """Position of a tag that gives no value -> the reason last told."""


class Poller:
    """Polls over one connection until it breaks or is cancelled."""

    def __init__(self, memory: Memory, connection: ModbusConnection, emit: Emit, status: StatusSink) -> None:
        """Read over `connection`, hand on to `emit` and `status`."""
        self._memory, self._connection, self._emit, self._status = memory, connection, emit, status
        config = memory.config
        self.roster = memory.roster
        self.roster.reconnected()
        self._gaps = Gaps(status)
        self._started_us = memory.receive_time()
        self._polled_us = self._started_us
        self._heard_us: dict[int, int] = {}
        self._tags_of_unit: dict[int, list[int]] = {}
        for position, tag in enumerate(config.tags):
            self._tags_of_unit.setdefault(config.unit_of(tag), []).append(position)

    async def run(self, connected: Callable[[int], None]) -> None:
        """Poll for ever; `connected` is called once, with the requests of the first poll, when something answered.

        Raises:
            SourceError: As `ScadaClient.run`.
        """
        schedule = Schedule(self._memory.config, self._memory.registers, time.monotonic())
        try:
            while True:
                due = schedule.take(time.monotonic())
                self._note_overruns(due)
                poll = Poll(due.tags)
                try:
                    await self._read_due(due, poll, connected)
                except SourceError:
                    await self._finish(poll, due)
                    raise
                if self.roster.answers:
                    connected(len(due.blocks))
                schedule.learn(poll, time.monotonic())
                await self._finish(poll, due)
                await self._connection.wait_until(schedule.due_at)
        finally:
            self._gaps.close_all()

    # -- reading -----------------------------------------------------------------------------------------------------

    async def _read_due(self, due: Due, poll: Poll, connected: Callable[[int], None]) -> None:
        for blocks in self.roster.order(due.blocks, time.monotonic()):
            unit = blocks[0].unit_id
            if not self.roster.may_ask(unit):
                continue
            began = time.monotonic()
            try:
                for block in blocks:
                    began = time.monotonic()
                    await self._read(block, poll)
            except SilentUnitError as error:
                self._note_silence(unit, error, time.monotonic() - began)
                if self.roster.answers:
                    connected(len(due.blocks))

    async def _read(self, block: Block, poll: Poll) -> None:
        """Read a block into `poll`; a refused one is halved until the items that are to blame are alone."""
        try:
            read = await self._connection.read(block)
        except RefusedError as refused:
            self._note_answer(block.unit_id)
            self._status.counted(failed_requests=1)
            await self._search(block, refused.code, poll)
            return
        poll.read.append((block, read, self._note_answer(block.unit_id)))

    async def _search(self, block: Block, code: int, poll: Poll) -> None:
        if code in PERMANENT and code != NO_SUCH_FUNCTION and len(block.items) > 1:
            known = len(poll.cut)
            left, right = halves(self._memory.registers, block)
            await self._read(left, poll)
            await self._read(right, poll)
            if len(poll.cut) == known and not poll.refused.keys() & set(block.items):
                # each half is fine: it is what lies between them, or the length
                poll.cut.append(seam(block, left, right))
            return
        if code in PERMANENT:
            poll.cut.append(block)
        poll.refused.update(dict.fromkeys(block.items, (code, self._polled_us)))

    def _note_answer(self, unit: int) -> int:
        self.roster.answered(unit)
        self._polled_us = self._heard_us[unit] = received_us = self._memory.receive_time()
        self._gaps.close(_of(unit), received_us)
        return received_us

    def _note_silence(self, unit: int, error: SilentUnitError, cost_s: float) -> None:
        if error.code is not None:
            self._status.counted(failed_requests=1)
        is_news = not self.roster.is_silent(unit)
        if not self.roster.silent(unit, time.monotonic(), cost_s):
            raise error
        if not is_news:
            return
        for position in self._tags_of_unit[unit]:
            self._fail(position, str(error))

    # -- telling -----------------------------------------------------------------------------------------------------

    async def _finish(self, poll: Poll, due: Due) -> None:
        """Count and emit what a poll, whole or broken off, has brought."""
        outcome = self._memory.assembler.outcome(poll)
        rows = outcome.batch.rows
        self._status.counted(
            sent=len(due.tags) - outcome.unchanged,
            in_gaps=len(due.tags) - outcome.unchanged - rows,
            unchanged=outcome.unchanged,
        )
        self._tell(poll, outcome)
        self._note_unread(due)
        if rows:
            await self._emit(outcome.batch)

    def _tell(self, poll: Poll, outcome: Outcome) -> None:
        """Say once which tags give no value, and once that they give it again."""
        registers = self._memory.registers
        for item, (code, _) in poll.refused.items():
            for position in registers.tags_with(item):
                self._fail(position, words(code) if position == item else f"its scale_register: {words(code)}")
        for position in outcome.absent.tolist():
            self._fail(position, _ABSENT)
        if self._memory.failed:
            for position in outcome.present.tolist():
                if self._memory.failed.pop(position, None) is not None:
                    self._status.item_recovered(registers.tags[position].sensor_id)

    def _fail(self, position: int, reason: str) -> None:
        if self._memory.failed.get(position) != reason:
            self._memory.failed[position] = reason
            self._status.item_failed(self._memory.registers.tags[position].sensor_id, reason)

    def _note_unread(self, due: Due) -> None:
        """Extend the gaps of the units that were due and did not answer."""
        if len(self._tags_of_unit) == 1:
            return
        for unit in {block.unit_id for block in due.blocks}:
            heard_us = self._heard_us.get(unit, self._started_us)
            if self.roster.is_silent(unit) or unit not in self._heard_us:
                reason = f"unit {unit} did not answer, or was not asked because it had not answered before"
                self._gaps.extend(_of(unit), heard_us, self._polled_us, reason)

    def _note_overruns(self, due: Due) -> None:
        if not due.overruns:
            self._gaps.settle(_GRID, self._polled_us)
            return
        readings = due.overrun_readings
        self._status.counted(sent=readings, in_gaps=readings, overruns=due.overruns)
        since_us, now_us = self._polled_us, self._memory.receive_time()
        reason = "polls were skipped: the device or the collector was too slow for poll_interval"
        self._gaps.extend(_GRID, since_us, now_us, reason)


def _of(unit: int) -> str:
    return f"unit {unit}"
