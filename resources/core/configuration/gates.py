"""The block `quality.gates`: what each data-quality gate does when it is red, and where its limit lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from resources.core.configuration.settings import Duration, StrictModel

Effect = Literal["block", "warn", "off"]
"""What a red gate does: `block` holds back what is made from the partition, `warn` only says so, `off` never judges."""

Kind = Literal["schema", "completeness", "freshness", "range", "duplicates", "score"]
"""What a gate asks of a table."""

LIMITS: Mapping[str, str] = {
    "schema": "most",
    "completeness": "least",
    "freshness": "within",
    "range": "most",
    "duplicates": "most",
    "score": "least",
}
"""Kind of a gate -> the key that its limit is written as."""

ALL_TABLES = "all"
"""Stands for every table, where a table does not say otherwise."""


def _effect(value: object) -> object:
    # a bare `off` is the truth value false in YAML
    return "off" if value is False else value


class GateSetting(StrictModel):
    """What the configuration says of one gate; what it leaves out stays as the gate has it."""

    effect: Annotated[Effect, BeforeValidator(_effect)] | None = None
    """block: what is made from the partition waits for it; warn: it is told; off: it is not judged."""
    most: int | None = Field(None, ge=0)
    """Of schema, range and duplicates: so many rows may fail."""
    least: float | None = Field(None, ge=0, le=100)
    """Of completeness: least share, 0 to 1, of what is expected. Of score: least score, 0 to 100."""
    within: Duration | None = None
    """Of freshness: so much time may pass until the newest partition is there."""


Table = Annotated[str, StringConstraints(pattern=r"^(all|[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)+)$")]
"""Asset key as a path, `scada/sensor_readings`, or `all`."""

Which = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
"""A kind of gates, or the name of one check."""


def _limits_fit(tables: Mapping[str, Mapping[str, GateSetting]]) -> Mapping[str, Mapping[str, GateSetting]]:
    for table, gates in tables.items():
        for which, setting in gates.items():
            limit = LIMITS.get(which)
            given = [name for name in set(LIMITS.values()) if getattr(setting, name) is not None]
            odd = [name for name in given if limit is not None and name != limit]
            if odd:
                raise ValueError(f"{table}.{which}: the limit of {which} is written as {limit}, not as {odd[0]}")
            if which == "freshness" and setting.effect == "block":
                raise ValueError(
                    f"{table}.freshness: a table that is not fresh holds nothing back: warn or off, not block"
                )
            if which == "completeness" and setting.least is not None and setting.least > 1:
                raise ValueError(f"{table}.completeness: least is a share from 0 to 1, not {setting.least:g}")
    return tables


GateSettings = Annotated[dict[Table, dict[Which, GateSetting]], AfterValidator(_limits_fit)]
"""Table, or `all` -> kind of gates, or name of one check -> its effect and limit."""


def setting_of(settings: Mapping[str, Mapping[str, GateSetting]], table: str, kind: str, name: str) -> GateSetting:
    """Return what the configuration says of a gate: by its name before its kind, of its table before all tables."""
    found: dict[str, object] = {}
    for place in (ALL_TABLES, table):
        for which in (kind, name):
            said = settings.get(place, {}).get(which, GateSetting())
            found |= {key: value for key, value in dict(said).items() if value is not None}
    return GateSetting.model_validate(found)
