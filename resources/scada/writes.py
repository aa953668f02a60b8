"""Writing to the plant: the one way to it, guarded and recorded. Everything else in this platform only reads.

An attempt is recorded first, then judged: is the tag listed as writable, is the value within its bounds, is the step
from the present value (read now, under a lock) small enough. Only what was confirmed is sent, once, never again; what
arrived is read back. Each way this can end is an `Outcome`, and each is in the record before anybody hears of it.

`CanWrite.write` is called here and nowhere else: a test holds that.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import structlog

from resources.core.configuration.settings import TagConfig, Writable
from resources.core.errors import AuthError, ConfigError, PlatformError, ProtocolError, SourceError
from resources.core.process.logs import security_log
from resources.core.tags import SensorCatalog
from resources.scada.connector import CanWrite, ScadaClient
from resources.scada.values import sensor_values
from resources.scada.write_rules import RefusedError, confirms, refuse_haste, refuse_step, refuse_value

log = structlog.get_logger(__name__)

READ_BACK_EVERY_S = 0.5
"""Pause between two looks for the written value."""


class Outcome(StrEnum):
    """How an attempt ended."""

    REFUSED = "refused"
    """The guard said no; nothing was sent."""
    DRY_RUN = "dry_run"
    """It would be sent; nothing was, since that was not asked for."""
    WRITTEN = "written"
    """Sent, and read back as it was sent."""
    NOT_CONFIRMED = "not_confirmed"
    """Sent and accepted, but another value was read back until the time was over."""
    FAILED = "failed"
    """The source refused it, or could not be asked; nothing has changed there."""
    IN_DOUBT = "in_doubt"
    """The connection failed or the process was ended while the value was on its way."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who wants to write, through what, from where."""

    by: str
    via: str
    host: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What is to be written: an engineering value; `confirm` False only rehearses."""

    sensor_id: str
    value: float
    confirm: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What became of a request; `write_id` is its row in scada.writes_audit."""

    write_id: int
    sensor_id: str
    source: str | None
    unit: str | None
    new_value: float
    old_value: float | None
    read_back: float | None
    outcome: Outcome
    reason: str

    @property
    def well(self) -> bool:
        """Whether it went as asked for."""
        return self.outcome in (Outcome.WRITTEN, Outcome.DRY_RUN)


class Audit(Protocol):
    """Where attempts are recorded; each call is durable when it returns (`timescale.writes_audit.WritesAudit`)."""

    def begin(self, attempt: Mapping[str, Any]) -> int:
        """Record an attempt; return its number."""
        ...

    def sending(self, write_id: int, old_value: float) -> None:
        """Record that the value is sent now."""
        ...

    def complete(
        self, write_id: int, outcome: str, reason: str, *, old_value: float | None, read_back: float | None
    ) -> None:
        """Record how it ended."""
        ...

    def lock(self, sensor_id: str) -> AbstractContextManager[bool]:
        """Hold a sensor for the block; False if somebody else does."""
        ...

    def last_sent(self, sensor_id: str) -> float | None:
        """Return how many seconds ago a value was last sent to a sensor, None if never."""
        ...

    def who_is_writing(self, sensor_id: str, *, but: int) -> str:
        """Return who has an attempt open, beside `but`."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """A tag, the source it belongs to, and what connects to that."""

    source: str
    tag: TagConfig
    connect: Callable[[], ScadaClient]
    catalog: SensorCatalog


class WriteGuard:
    """Carries out write requests, one at a time."""

    def __init__(self, targets: Mapping[str, Target], audit: Audit) -> None:
        """Write to `targets` (sensor_id -> target), recorded in `audit`."""
        self._targets, self._audit = targets, audit

    def execute(self, request: WriteRequest, requester: Requester, *, barred: str | None = None) -> WriteReport:
        """Carry out a request; return what became of it, refusals included. Not to be called in an event loop.

        Args:
            request: What is to be written.
            requester: Who wants it.
            barred: Why this requester may not write at all; None if it may.

        Raises:
            PlatformError: The attempt could not be recorded: before sending, nothing was sent; after, the message says
                what was.
        """
        target = self._targets.get(request.sensor_id)
        attempt = {
            "sensor_id": request.sensor_id,
            "source": target.source if target else None,
            "requested_by": requester.by,
            "requested_via": requester.via,
            "requested_from": requester.host,
            "run_id": requester.run_id,
            "note": request.note,
            "dry_run": not request.confirm,
            "new_value": request.value,
            "unit": target.tag.unit if target else None,
        }
        write = _Write(self._audit, self._audit.begin(attempt), request, target)
        try:
            if barred is not None:
                raise RefusedError(barred)
            outcome, reason = write.carry_out()
        except RefusedError as refused:
            outcome, reason = Outcome.REFUSED, str(refused)
        except (SourceError, ConfigError) as error:
            outcome, reason = (Outcome.IN_DOUBT if write.sent else Outcome.FAILED), str(error)
        except BaseException as error:
            # Ctrl-C, or a fault of ours: what is in the record must be true whatever ends us
            ended = Outcome.IN_DOUBT if write.sent else Outcome.FAILED
            write.complete(ended, f"ended by {type(error).__name__}", requester)
            raise
        return write.complete(outcome, reason, requester)


class _Write:
    """One attempt on its way."""

    def __init__(self, audit: Audit, write_id: int, request: WriteRequest, target: Target | None) -> None:
        self._audit, self._id, self._request, self._target = audit, write_id, request, target
        self.sent = False
        self._old: float | None = None
        self._read_back: float | None = None

    def carry_out(self) -> tuple[Outcome, str]:
        """Judge and, if that is asked for, send; return how it ended."""
        sensor_id, value, target = self._request.sensor_id, self._request.value, self._target
        if target is None:
            raise RefusedError("no source has a tag of this sensor_id: `gl write --list` shows what may be written")
        bounds = refuse_value(target.tag, value)
        client = target.connect()
        if not isinstance(client, CanWrite):
            raise RefusedError(f"the connector of source {target.source} ({client.kind}) cannot write")
        with self._audit.lock(sensor_id) as held, asyncio.Runner() as runner:
            if not held:
                who = self._audit.who_is_writing(sensor_id, but=self._id)
                raise RefusedError(f"{who} is writing it at this moment: look at its value, then try again")
            refuse_haste(bounds, self._audit.last_sent(sensor_id))
            self._old = self._present(runner.run(_read(client, target)))
            refuse_step(bounds, target.tag.unit, value, self._old)
            if not self._request.confirm:
                return Outcome.DRY_RUN, f"would be sent, in place of {self._old:g}: --confirm sends it"
            self._audit.sending(self._id, self._old)
            return self._send(runner, client, bounds)

    def _present(self, found: tuple[float | None, str]) -> float:
        value, status = found
        if value is None or status != "good" or not math.isfinite(value):
            shown = "none" if value is None else f"{value:g}"
            raise RefusedError(
                f"its present value is {shown} with status {status}: without a good one the step cannot be judged"
            )
        return value

    def _send(self, runner: asyncio.Runner, client: CanWrite, bounds: Writable) -> tuple[Outcome, str]:
        self.sent = True
        value, target = self._request.value, self._target
        assert target is not None
        try:
            runner.run(client.write(self._request.sensor_id, value))
        except (SourceError, ConfigError) as error:
            return self._after_error(runner, client, bounds, error)
        if self._wait_for(runner, client, bounds):
            return Outcome.WRITTEN, f"read back as {self._read_back:g}"
        waited = f"in {bounds.read_back_timeout.total_seconds():g} s"
        if self._read_back is None:
            return Outcome.NOT_CONFIRMED, f"the source took it, but could not be read {waited}: look at the device"
        return (
            Outcome.NOT_CONFIRMED,
            f"the source took it, but {self._read_back:g} is read back, not {value:g}, {waited}: something else may "
            "write the tag, or the device clamps or rounds (writable.tolerance)",
        )

    def _after_error(
        self, runner: asyncio.Runner, client: CanWrite, bounds: Writable, error: PlatformError
    ) -> tuple[Outcome, str]:
        """Look what has become of a value whose sending ended with an error."""
        # a refusal is final; where the connection broke, the value may still be on its way
        said_no = isinstance(error, ProtocolError | AuthError | ConfigError)
        there = self._wait_for(runner, client, bounds, wait=not said_no)
        if there and not confirms(bounds, self._request.value, self._old):
            return Outcome.WRITTEN, f"the value is there (read back as {self._read_back:g}), although: {error}"
        if said_no:
            return Outcome.FAILED, str(error)
        found = "not readable" if self._read_back is None else f"{self._read_back:g}"
        return (
            Outcome.IN_DOUBT,
            f"{error}; the value read afterwards: {found}. Look at the device; it is not sent again",
        )

    def _wait_for(self, runner: asyncio.Runner, client: CanWrite, bounds: Writable, *, wait: bool = True) -> bool:
        """Read until the value is there or the time is over (once, if not to `wait`); keeps what was read last."""
        assert self._target is not None
        deadline = time.monotonic() + (bounds.read_back_timeout.total_seconds() if wait else 0.0)
        while True:
            try:
                found, status = runner.run(_read(client, self._target))
                self._read_back = found
                if status == "good" and confirms(bounds, self._request.value, found):
                    return True
            except SourceError as error:
                log.warning("read_back_failed", sensor_id=self._request.sensor_id, error=str(error))
            if time.monotonic() >= deadline:
                return False
            time.sleep(READ_BACK_EVERY_S)

    def complete(self, outcome: Outcome, reason: str, requester: Requester) -> WriteReport:
        """Record how it ended, in security.log as well, and return it."""
        request, target = self._request, self._target
        security_log().info(
            "plant_write",
            write_id=self._id,
            sensor_id=request.sensor_id,
            source=target.source if target else None,
            by=requester.by,
            via=requester.via,
            host=requester.host,
            run_id=requester.run_id,
            old=self._old,
            new=request.value,
            read_back=self._read_back,
            outcome=str(outcome),
            reason=reason,
        )
        try:
            self._audit.complete(self._id, outcome, reason, old_value=self._old, read_back=self._read_back)
        except PlatformError as error:
            if not self.sent:
                raise
            raise ConfigError(
                f"{request.sensor_id}: {request.value:g} was sent ({outcome}: {reason}), but row {self._id} of "
                f"scada.writes_audit could not be completed and says `sending`: {error}"
            ) from error
        return WriteReport(
            self._id,
            request.sensor_id,
            target.source if target else None,
            target.tag.unit if target else None,
            request.value,
            self._old,
            self._read_back,
            outcome,
            reason,
        )


async def _read(client: CanWrite, target: Target) -> tuple[float | None, str]:
    """Return the present engineering value of a tag and its status."""
    sensor_id = target.tag.sensor_id
    batch = await client.read([sensor_id])
    found = [one for one in sensor_values(batch.readings, target.catalog) if one.sensor_id == sensor_id]
    if found:
        return found[-1].value, found[-1].status
    reasons = batch.rejects.column("reasons").to_pylist() if batch.rejects is not None else []
    return None, f"unreadable ({'; '.join(reasons[0])})" if reasons else "unreadable"
