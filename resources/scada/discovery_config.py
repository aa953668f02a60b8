"""Which of the things that a source offers become tags, and what they are called."""

from __future__ import annotations

import re
import string
from functools import lru_cache

from pydantic import Field, field_validator

from resources.core.configuration.settings import StrictModel, Unit

_FIELDS = ("source", "path", "parent", "name")
_NOT_IN_A_SENSOR_ID = re.compile(r"[^A-Za-z0-9_.:/\-]+")
_LONGEST = 128


class Discover(StrictModel):
    """Which of the things that the source offers become tags: those of `include` that are not of `exclude`."""

    include: tuple[str, ...] = Field(("**",), min_length=1)
    """Patterns of paths such as `Objects/Boiler*/**`: `*` and `?` stay within a level, `**` is any number of levels."""
    exclude: tuple[str, ...] = ()
    """Patterns of those that are left out all the same."""
    sensor_id: str = "{path}"
    """How a new tag is called: text with `{path}` (levels joined by a dot), `{name}` (the last level), `{parent}` (the
    one above) and `{source}`. What a sensor_id may not hold becomes `_`."""
    unit: Unit = "1"
    """Unit of a new tag where the source does not tell."""

    @field_validator("sensor_id")
    @classmethod
    def _names_what_there_is(cls, value: str) -> str:
        try:
            named = {field for _, field, _, _ in string.Formatter().parse(value) if field is not None}
        except ValueError as error:
            raise ValueError(f"{value!r} is not a template ({error}): write {{path}}, {{name}}, ...") from error
        unknown = sorted(named - set(_FIELDS))
        if unknown or not named & {"path", "name", "parent"}:
            what = f"{{{unknown[0]}}} is unknown" if unknown else "every tag would be called the same"
            raise ValueError(f"{what}: a template has {{path}}, {{name}} or {{parent}}, and may have {{source}}")
        return value

    def wants(self, path: str) -> bool:
        """Return whether the thing at `path` becomes a tag."""
        return any(_pattern(p).fullmatch(path) for p in self.include) and not any(
            _pattern(p).fullmatch(path) for p in self.exclude
        )

    def sensor_id_of(self, source: str, path: str) -> str:
        """Return what the thing at `path` is called."""
        levels = path.split("/")
        parts = {"source": source, "path": ".".join(levels), "name": levels[-1], "parent": (["", *levels])[-2]}
        text = _NOT_IN_A_SENSOR_ID.sub("_", self.sensor_id.format(**parts))
        return (text if text[:1].isalnum() else f"t{text}")[:_LONGEST]


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    """Return the pattern of a path: `*` and `?` within a level, `**` over any number of levels."""
    found = ""
    for position, level in enumerate(levels := glob.split("/")):
        last = position == len(levels) - 1
        if level == "**":
            found += ".*" if last else "(?:[^/]+/)*"
            continue
        text = re.escape(level).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        found += text if last else f"{text}/"
    return re.compile(found)
