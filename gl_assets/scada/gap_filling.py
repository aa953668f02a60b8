"""Filling gaps from the history of their sources, and judging the windows that gaps touch.

A gap that is over is dealt with once the windows it touches have closed: where its source has history, that is read
window by window, oldest first, merged into what is stored, and the gap is closed; in any case its windows are judged
anew, so that a gap that stays shows on their partitions. How far that has come stands in `scada.gaps`: what is
interrupted goes on there, and what is done twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from gl_assets.scada.gap_timing import Timing, is_over
from gl_assets.scada.history_window import Stretch, history_contents, rows_of, without_standing
from gl_assets.scada.persist import persist_window
from gl_assets.scada.rejudging import JudgedWindow, rejudge
from resources.core.errors import DataError, PlatformError, ProtocolError, ThrottledError, UnreachableError
from resources.core.origins import history_of
from resources.core.windows import partition_key
from resources.databases.timescale.notes.events import record_event
from resources.databases.timescale.rework.gap_work import GIVE_UP_AFTER, GapBook, GapWork
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations
from resources.scada.history import History, HistorySource

log = structlog.get_logger(__name__)

MOST_WINDOWS = 96
"""Most windows that one run fills, and judges: what it holds up and repeats when its process dies stays small."""


class EmptyHistoryError(DataError):
    """History can be read, and holds nothing of that time."""


@dataclass(frozen=True, slots=True)
class Refill:
    """A source whose gaps can be filled, and how."""

    source: HistorySource
    timing: Timing


@dataclass(slots=True)
class FillOutcome:
    """What one run has done."""

    filled: list[str] = field(default_factory=list)
    """Gaps filled whole, `<source> from <begin>`."""
    failed: dict[str, str] = field(default_factory=dict)
    """Gap -> why it could not be filled now."""
    windows: dict[datetime, int] = field(default_factory=dict)
    """Window that history was read for -> rows it brought."""
    judged: int = 0
    busy: bool = False
    """Another process is filling this collector's gaps: nothing was done."""


class GapFiller:
    """One run over a collector's gaps.

    Args:
        config: The configuration.
        store: The store of readings; its connection keeps the book.
        sources: The sources whose gaps can be filled.
        run_id: Of the Dagster run, kept with what is stored.
        report: Told of each window that was judged.
    """

    def __init__(
        self,
        config: Integrations,
        store: ReadingsStore,
        sources: Mapping[str, Refill],
        *,
        run_id: str,
        report: Callable[[JudgedWindow], None] = lambda _: None,
    ) -> None:
        self._config, self._store, self._sources = config, store, sources
        self._run_id, self._report = run_id, report
        self._book = GapBook(store.connection, site=config.site, collector=config.collector.name)
        self._outcome = FillOutcome()
        self._to_judge: set[datetime] = set()
        self._judged: list[tuple[GapWork, datetime]] = []
        self._away: dict[str, PlatformError] = {}

    def run(self, now: datetime, *, again: bool = False, only: Sequence[str] = ()) -> FillOutcome:
        """Deal with the gaps that are due.

        Args:
            now: The present instant.
            again: Try those, too, that wait after a failure or have been given up.
            only: Only gaps of these sources; all if empty.

        Raises:
            UnreachableError: The database went away.
        """
        with self._book.only_filler() as mine:
            if not mine:
                return replace(self._outcome, busy=True)
            for gap in self._book.open_work(list(self._sources), again=again, only=only):
                refill = self._sources.get(gap.source)
                if not is_over(self._config, gap, refill.timing if refill else None, now):
                    continue
                whole = refill is not None and self._may_try(gap, now, again) and self._fill(gap, refill, now)
                # what was judged while the gap was there is judged again once it is filled
                self._note_windows(replace(gap, judged_to=None) if whole else gap)
            for start in sorted(self._to_judge, reverse=True):
                self._judge(start)
            for gap, judged_to in self._judged:
                self._book.note_judged_to(gap, judged_to)
        return self._outcome

    @staticmethod
    def _may_try(gap: GapWork, now: datetime, again: bool) -> bool:
        if gap.filled_at is not None or gap.is_withdrawn:
            return False
        waits = gap.next_attempt_at is not None and gap.next_attempt_at > now
        return again or (gap.attempts < GIVE_UP_AFTER and not waits)

    # -- filling -----------------------------------------------------------------------------------------------------

    def _fill(self, gap: GapWork, refill: Refill, now: datetime) -> bool:
        """Fill as much of a gap as can be; return whether it is filled whole."""
        name = f"{gap.source} from {gap.since:%Y-%m-%dT%H:%M:%S}Z"
        if gap.source in self._away:
            self._failed(gap, name, self._away[gap.source], now)
            return False
        try:
            whole = self._read_through(gap, refill)
        except (UnreachableError, ThrottledError) as error:
            if error.source != gap.source:
                raise  # the database, without which nothing goes on
            self._away[gap.source] = error
            self._failed(gap, name, error, now)
        except PlatformError as error:
            self._failed(gap, name, error, now)
        else:
            if whole:
                self._book.note_filled(gap, by=f"history of {gap.source}")
                self._outcome.filled.append(name)
            return whole
        return False

    def _read_through(self, gap: GapWork, refill: Refill) -> bool:
        """Read and store a gap's history, oldest window first; return False if one run does not get through it.

        Raises:
            PlatformError: History cannot be read, or not be stored, or holds nothing of that time.
        """
        read, without, tags = gap.rows_read, set(gap.without_history), len(self._config.sources[gap.source].tags)
        for stretch in self._stretches(gap, refill):
            if len(self._outcome.windows) >= MOST_WINDOWS and stretch.start not in self._outcome.windows:
                return False
            history = refill.source.read_history(stretch.since, stretch.until)
            without.update(history.without)
            if len(without) == tags:
                sensor, why = next(iter(history.without.items()), ("", "see the log"))
                raise ProtocolError(f"source {gap.source}: no tag has history: {sensor}: {why}", source=gap.source)
            brought = self._merge(stretch, history) if history.rows else 0
            read += history.rows
            self._outcome.windows[stretch.start] = self._outcome.windows.get(stretch.start, 0) + brought
            self._to_judge.add(stretch.start)
            filled_to = max(gap.since, min(stretch.until, gap.until))
            self._book.note_filled_to(gap, filled_to, read=history.rows, filled=brought, without=without)
        if not read:
            raise EmptyHistoryError(
                f"source {gap.source}: its history holds nothing from {gap.since:%Y-%m-%d %H:%M:%S} to "
                f"{gap.until:%Y-%m-%d %H:%M:%S} UTC: the source did not run then, or does not keep history so long"
            )
        return True

    def _stretches(self, gap: GapWork, refill: Refill) -> Iterator[Stretch]:
        """Yield what is left of a gap, with its margins, cut by window."""
        grid, begun = self._config.grid, gap.filled_to is not None and gap.filled_to > gap.since
        since = gap.filled_to if begun and gap.filled_to else gap.since - refill.timing.margin
        since, until = max(since, self._config.start), gap.until + refill.timing.margin
        for start in grid.starts(since, until):
            end = start + grid.length
            yield Stretch(start, end, max(start, since), min(end, until))

    def _merge(self, stretch: Stretch, history: History) -> int:
        """Store what history gave of a window and is not there yet; return how many rows that is."""
        collector = history_of(self._config.collector.name)
        contents = history_contents(history.batches, history.sensors, stretch, collector)
        contents = without_standing(self._store.connection, contents, self._config.site)
        rows = rows_of(contents)
        if rows:
            outcome = persist_window(contents, self._store, self._config, run_id=self._run_id)
            if not outcome.stored:
                raise DataError(f"history of window {partition_key(stretch.start)} was not stored: {outcome.why_not}")
        return rows

    def _failed(self, gap: GapWork, name: str, error: PlatformError, now: datetime) -> None:
        away = isinstance(error, UnreachableError | ThrottledError)
        # a source that had nothing is asked for all of it the next time
        attempts = self._book.note_failed(
            gap, str(error), now=now, counts=not away, anew=isinstance(error, EmptyHistoryError)
        )
        self._outcome.failed[name] = str(error)
        log.warning(
            "gap_not_filled", source=gap.source, since=gap.since.isoformat(), attempts=attempts, error=str(error)
        )
        if attempts == GIVE_UP_AFTER:
            record_event(
                self._store.connection,
                self._config.site,
                event_type="gap_not_filled",
                source=gap.source,
                message=f"gap of {name} could not be filled in {attempts} attempts and is left as it is: {error}; "
                "once the cause is gone: `gl gaps fill --again`",
                details={"from": gap.since.isoformat(), "to": gap.until.isoformat(), "attempts": attempts},
                time=now,
                run_id=self._run_id,
            )

    # -- judging -----------------------------------------------------------------------------------------------------

    def _note_windows(self, gap: GapWork) -> None:
        """Note a gap's windows that have not been judged with it, as many as one run does."""
        since = judged_to = gap.judged_to or gap.since
        if since >= gap.until:
            return
        for start in self._config.grid.starts(max(since, self._config.start), gap.until):
            if len(self._to_judge) >= 2 * MOST_WINDOWS and start not in self._to_judge:
                break
            self._to_judge.add(start)
            judged_to = min(start + self._config.window, gap.until)
        if judged_to > since or gap.until <= self._config.start:
            self._judged.append((gap, judged_to))

    def _judge(self, start: datetime) -> None:
        filled = self._outcome.windows.get(start, 0)
        window = rejudge(self._store, self._config, start, run_id=self._run_id, brought=filled)
        self._outcome.judged += 1
        self._report(window)
