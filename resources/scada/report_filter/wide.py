"""One row of each of many sensors, judged in one go by array operations; `narrow` is the same for many rows of few."""

from __future__ import annotations

import numpy as np

from resources.scada.report_filter.rules import Frame, Int64s, Mask, Rules
from resources.scada.report_filter.state import NEVER, Rows, State


def judge(rules: Rules, frame: Frame, state: State, rows: Rows, lost: Mask, let_go: list[Rows]) -> Mask:
    """Return which of `rows` are kept, and append to `let_go` those held ones that are kept after all.

    Args:
        rules: Of all filtered sensors.
        frame: The buffer's times.
        state: Is brought up to date.
        rows: At most one row of each sensor.
        lost: True where there is no value to compare with: bad, missing or NaN.
        let_go: See above.
    """
    seen: Int64s = state.seen[rows.slots]
    passing: Mask = rows.times <= np.maximum(seen, state.floor[rows.slots])
    passing |= (rows.times > rows.received + frame.future) | (rows.times < frame.start)
    odd = lost | (seen == NEVER) | (rows.statuses != state.status[rows.slots])
    keep: Mask = passing | odd
    if keep.any():
        broken = odd & ~passing
        _begin_anew(state, rows.take(broken), lost[broken], let_go)
        rest = np.flatnonzero(~keep)
        keep[rest] = _compare(rules, frame, state, rows.take(rest), let_go)
        return keep
    return _compare(rules, frame, state, rows, let_go)


def _begin_anew(state: State, rows: Rows, lost: Mask, let_go: list[Rows]) -> None:
    """Keep `rows` as first values; after one that is lost the next is a first one again."""
    if len(rows):
        _let_go(state, rows, state.held[rows.slots], let_go)
        state.anchor(rows)
        state.forget(rows.slots[lost])


def _compare(rules: Rules, frame: Frame, state: State, rows: Rows, let_go: list[Rows]) -> Mask:
    if not len(rows):
        return np.zeros(0, dtype=np.bool_)
    slots, window = rows.slots, rows.times // frame.window
    # each window has its first and its last reading: it is judged, and summed up by the hour, from its own alone
    entered = state.time[slots] // frame.window != window
    _let_go(state, rows, state.held[slots] & entered, let_go)
    door, absolute = rules.door[slots], rules.absolute[slots]
    span = (rows.times - state.time[slots]).astype(np.float64)
    change = rows.values - state.value[slots]
    slope = change / span
    turned = door & ((slope < state.low[slots]) | (slope > state.high[slots]))
    if turned.any():
        _let_go(state, rows, turned, let_go)
        span = (rows.times - state.time[slots]).astype(np.float64)
        slope = (rows.values - state.value[slots]) / span
    beyond = ~door & (np.abs(change) > np.maximum(absolute, rules.relative[slots] * np.abs(state.value[slots])))
    # a window that has ended by the clock closes within the grace: what is held now would be let go too late
    ended = (window < rows.received // frame.window) & (rows.received <= (window + 1) * frame.window + frame.grace)
    keep: Mask = beyond | entered | ended | (rows.times - state.time[slots] >= rules.silence[slots])
    state.anchor(rows.take(keep))
    left = ~keep
    held, reach = slots[left], absolute[left] / span[left]
    state.hold(rows.take(left))
    state.low[held] = np.maximum(state.low[held], slope[left] - reach)
    state.high[held] = np.minimum(state.high[held], slope[left] + reach)
    return keep


def _let_go(state: State, rows: Rows, chosen: Mask, let_go: list[Rows]) -> None:
    if chosen.any():
        let_go.append(state.let_go(rows.slots[chosen]))
