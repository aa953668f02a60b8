"""The alarms' own thread: what was noticed becomes durable, then it is sent, and what comes of it is noted.

Everything that happens is an item of one queue, and all items that wait are one transaction. Nothing here holds up the
readings. A disk that takes nothing does not hold up an emergency either: it is sent all the same, and written later.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue

import structlog

from resources.agents.alarm_messages import messages_of
from resources.agents.alarms import AlarmRule
from resources.agents.wire.message import Formatter, new_id
from resources.core.alarms import AlarmChange
from resources.core.clock import Clock, to_micros
from resources.core.errors import PlatformError
from resources.core.tags import SensorCatalog
from sensors.collector.alarms.evaluator import Crossing
from sensors.collector.alarms.figures import AlarmFigures
from sensors.collector.alarms.outbox import AlarmOutbox
from sensors.collector.alarms.sender import AlarmSender, CommandAnswer, SenderCallbacks, Wire
from sensors.collector.alarms.store import AlarmStore, Outgoing, Step

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often deadlines are looked at, and a disk that took nothing is tried again."""

_NO_RULE = "the rule or its sensor is no longer in the configuration"


@dataclass(slots=True)
class _Work:
    """What the items of one turn come to."""

    step: Step = field(default_factory=Step)
    to_send: list[Outgoing] = field(default_factory=list)
    when_durable: list[Callable[[], None]] = field(default_factory=list)
    taken: int = 0
    """Crossings in it."""


_Item = Callable[[_Work], None]


class AlarmDesk:
    """Takes crossings from the event loop, and does the rest in its own thread."""

    def __init__(
        self, rules: Mapping[str, AlarmRule], catalog: SensorCatalog, wire: Wire, store: AlarmStore, clock: Clock
    ) -> None:
        """Read the keys and what the store holds; nothing is sent before `start`.

        Raises:
            ConfigError: A key file is missing or wrong.
        """
        self._rules, self._catalog, self._store, self._clock = rules, catalog, store, clock
        self._items: SimpleQueue[_Item | None] = SimpleQueue()
        self._sender = AlarmSender(wire, SenderCallbacks(self._on_sent, self._on_refused, self._on_answer), clock)
        self._formatter = Formatter(self._sender.agent_id, clock)
        self.figures = AlarmFigures(tuple(rules))
        self._outbox = AlarmOutbox(store.outgoing(), self.figures)
        self._standing = {(change.rule, change.sensor_id): change for change in store.standing()}
        self._noticed = self._written = 0
        self._work = _Work()
        self.disk_error: str | None = None
        """Why the store does not take what was noticed; None while it does."""
        self._looked = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._count()

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._sender.connected

    @property
    def agent_id(self) -> str:
        """Whom the messages are from."""
        return self._sender.agent_id

    @property
    def works(self) -> bool:
        """Whether what is noticed becomes durable soon."""
        return self.disk_error is None and self._thread.is_alive()

    @property
    def has_news(self) -> bool:
        """Whether something was noticed that is not durable yet."""
        return self._written < self._noticed

    def refused(self) -> dict[str, int]:
        """Return reason -> how many received messages were refused."""
        return self._sender.refused()

    def standing(self) -> list[AlarmChange]:
        """Return the alarms that stand, as they were raised."""
        return list(self._standing.values())

    def start(self) -> None:
        """Begin; first comes what an earlier run could not send."""
        self._work.to_send.extend(self._outbox.unsent())
        self._thread.start()
        self._sender.start()

    def stop(self) -> None:
        """Make everything durable and disconnect; what is not sent yet goes with the next run."""
        self._items.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        self._sender.stop()
        self._store.close()

    # -- from other threads ------------------------------------------------------------------------------------------

    def notice(self, crossing: Crossing) -> None:
        """Take what the evaluator found; returns at once. From one thread only."""
        self._noticed += 1
        noticed_us, mark = to_micros(self._clock.now()), self._clock.monotonic()
        self._items.put(partial(self._take, crossing, noticed_us, mark))

    def withdraw(self, change: AlarmChange) -> None:
        """End an alarm that nothing watches any more."""
        self._items.put(partial(self._withdraw, change))

    def when_durable(self, call: Callable[[], None]) -> None:
        """Call `call`, from the alarms' thread, once everything noticed so far is durable."""
        self._items.put(lambda work: work.when_durable.append(call))

    def _on_sent(self, message_id: str, target: str, everyone: bool) -> None:
        def item(work: _Work) -> None:
            self._outbox.note_taken(message_id, target)
            if everyone:
                self._outbox.note_sent(message_id, self._clock.monotonic(), work.step)

        self._items.put(item)

    def _on_refused(self, message_id: str, target: str) -> None:
        self._items.put(lambda _work: self._outbox.note_refused(message_id, target))

    def _on_answer(self, answer: CommandAnswer, acknowledge: Callable[[], None]) -> None:
        def item(work: _Work) -> None:
            self._outbox.note_answer(answer, self._clock.now(), work.step)
            work.when_durable.append(acknowledge)

        self._items.put(item)

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        ended = False
        while not ended:
            items = self._gather()
            ended = None in items
            for item in items:
                if item is not None:
                    _guarded(partial(item, self._work))
            self._look()
            self._finish()

    def _gather(self) -> list[_Item | None]:
        try:
            items = [self._items.get(timeout=LOOK_EVERY_S)]
        except Empty:
            return []
        while not self._items.empty():
            items.append(self._items.get())
        return items

    def _finish(self) -> None:
        """Write, send, and call whoever waits; what could not be written stays for the next turn."""
        work, durable = self._work, self._is_written(self._work.step)
        to_send, work.to_send = work.to_send, []
        for outgoing in to_send:
            _guarded(partial(self._send, outgoing))
        self._count()
        if durable:
            self._work = _Work()
            self._written += work.taken
            for call in work.when_durable:
                _guarded(call)

    def _is_written(self, step: Step) -> bool:
        if not step:
            return True
        try:
            self._store.write(step)
        except sqlite3.Error as error:
            if self.disk_error is None:
                log.error("alarm_store_write_failed", path=str(self._store.path), error=str(error))
            self.disk_error = str(error)
            return False
        if self.disk_error is not None:
            log.info("alarm_store_write_recovered", path=str(self._store.path))
        self.disk_error = None
        return True

    def _take(self, crossing: Crossing, noticed_us: int, mark: float, work: _Work) -> None:
        work.taken += 1
        sensor, rule = self._catalog.sensors[crossing.sensor_key], self._rules[crossing.rule]
        raised = self._standing.get((crossing.rule, sensor.sensor_id))
        if (raised is not None) == crossing.raised:
            # raised twice, or over without having stood: it is known already
            return
        change = AlarmChange(
            rule=crossing.rule,
            sensor_id=sensor.sensor_id,
            source=sensor.source,
            unit=sensor.unit,
            state="raised" if crossing.raised else "cleared",
            raised_us=crossing.time_us if raised is None else raised.raised_us,
            at_us=crossing.time_us,
            began_us=crossing.began_us if raised is None else raised.began_us,
            value=crossing.value,
            threshold=rule.threshold,
            direction=rule.direction,
            priority=rule.priority,
            text=rule.message,
            message_id=new_id(),
            noticed_us=noticed_us,
        )
        self._note(change, work.step)
        for message in messages_of(change, rule, self._formatter, (raised or change).message_id):
            outgoing = Outgoing(message, change, awaited=frozenset(message.target_agents))
            self._outbox.add(outgoing, mark, work.step)
            work.to_send.append(outgoing)

    def _withdraw(self, change: AlarmChange, work: _Work) -> None:
        now_us = to_micros(self._clock.now())
        over = replace(
            change, state="cleared", at_us=now_us, noticed_us=now_us, value=None, message_id=new_id(), text=_NO_RULE
        )
        self._note(over, work.step)

    def _note(self, change: AlarmChange, step: Step) -> None:
        """Note that an alarm is raised or over."""
        step.changes.append(change)
        key = (change.rule, change.sensor_id)
        if change.state == "raised":
            self._standing[key] = change
            self.figures.raised[change.rule] += 1
        else:
            del self._standing[key]
            self.figures.cleared[change.rule] += 1
        say = log.warning if change.state == "raised" else log.info
        say(f"alarm_{change.state}", rule=change.rule, sensor_id=change.sensor_id, value=change.value)

    def _send(self, outgoing: Outgoing) -> None:
        try:
            self._sender.send(outgoing.message, partial(self._outbox.is_open, outgoing.message.message_id))
        except PlatformError as error:
            log.error("alarm_not_sent", rule=outgoing.change.rule, error=str(error))

    def _look(self) -> None:
        """Give up what is past its deadline, about once a second, and see how much waits to be recorded."""
        mark = self._clock.monotonic()
        if mark - self._looked < LOOK_EVERY_S:
            return
        self._looked = mark
        self._outbox.give_up_overdue(self._clock.now(), self._work.step)
        try:
            self.figures.dropped += self._store.shorten()
            self.figures.unrecorded = self._store.waiting_entries()
        except sqlite3.Error as error:
            log.debug("alarm_store_not_looked_at", error=str(error))

    def _count(self) -> None:
        self.figures.unsent = len(self._outbox.unsent())
        standing = dict.fromkeys(self._rules, 0)
        for rule, _ in self._standing:
            standing[rule] = standing.get(rule, 0) + 1
        self.figures.standing = standing


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        # one thread serves all alarms: a fault in one of them must not end the others
        log.exception("alarm_callback_failed")
