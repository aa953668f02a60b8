"""What may be written: the rules, without any connection. Pure.

Each rule does nothing where it allows, and raises RefusedError with the reason where it does not.
"""

from __future__ import annotations

import math

from resources.core.configuration.settings import TagConfig, Writable

FLOAT32_ROUNDING = 1e-6
"""Relative difference that a value may have after it went through a float32 (2^-24, and a scale on top)."""


class RefusedError(Exception):
    """The guard says no, and why; `resources.scada.writes` makes an outcome of it."""


def refuse_value(tag: TagConfig, value: float) -> Writable:
    """Return the bounds of a tag if a value is within them.

    Raises:
        RefusedError: The tag is read-only, or the value is out of bounds.
    """
    bounds = tag.writable
    if bounds is None:
        raise RefusedError("it is read-only: only a tag with a block `writable` in the configuration may be written")
    if not math.isfinite(value):
        raise RefusedError(f"{value} is not a number that can be written")
    if not bounds.minimum <= value <= bounds.maximum:
        raise RefusedError(
            f"{value:g} {tag.unit} is outside of writable.minimum {bounds.minimum:g} to writable.maximum "
            f"{bounds.maximum:g}"
        )
    return bounds


def refuse_step(bounds: Writable, unit: str, value: float, present: float) -> None:
    """Do nothing if the step from the present value is small enough.

    Raises:
        RefusedError: It is not.
    """
    step = abs(value - present)
    if step > bounds.max_step * (1 + FLOAT32_ROUNDING):
        raise RefusedError(
            f"from {present:g} to {value:g} {unit} is a step of {step:g}, more than writable.max_step "
            f"{bounds.max_step:g}: go in smaller steps"
        )


def refuse_haste(bounds: Writable, last_sent_s: float | None) -> None:
    """Do nothing if the last write is long enough ago (`last_sent_s` seconds, None: never).

    Raises:
        RefusedError: It is not.
    """
    least_s = bounds.minimum_interval.total_seconds()
    if last_sent_s is not None and last_sent_s < least_s:
        raise RefusedError(
            f"it was written {last_sent_s:.0f} s ago, and writable.minimum_interval is {least_s:g} s: wait"
        )


def confirms(bounds: Writable, sent: float, found: float | None) -> bool:
    """Return whether the value found is the one sent, within tolerance and the rounding of a float32."""
    if found is None or not math.isfinite(found):
        return False
    return abs(found - sent) <= bounds.tolerance + FLOAT32_ROUNDING * max(abs(found), abs(sent))
