"""Many tags of the same make: one template and the levels its topic runs through, multiplied out when it is read.

Only configured tags become readings, so the levels are listed: a topic that nobody listed stays unknown and is
rejected with that reason. What is written `{name}` in any text of the template takes each of the level's values.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, TypeAdapter

from resources.core.configuration.settings import StrictModel

MOST_TAGS = 100_000
"""Tags that one template may make."""

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OF_A_COMMAND = frozenset({"value", "time", "unit", "sensor_id"})
"""Places that a tag fills itself, when it publishes."""


class TagTemplate(StrictModel):
    """A tag with `{name}` in its texts, and what each name stands for."""

    levels: dict[str, tuple[str | int, ...]] = Field(min_length=1)
    """Name -> the values it takes (levels of the topic, say); with several names every combination is a tag."""
    tag: dict[str, Any]
    """A tag as under `tags`, with places such as `{line}` in its texts; checked once it is multiplied out."""


def expanded(templates: Any) -> list[dict[str, Any]]:
    """Return the tags that the templates of a source make, as they would be written one by one.

    Raises:
        ValueError: A template is not one, names a place that no level fills, or makes too many tags.
    """
    tags: list[dict[str, Any]] = []
    for template in TypeAdapter(tuple[TagTemplate, ...]).validate_python(templates):
        names = tuple(template.levels)
        if reserved := _OF_A_COMMAND.intersection(names):
            raise ValueError(f"tag_templates: the level {sorted(reserved)[0]} means something else in command_payload")
        for number, values in enumerate(itertools.product(*template.levels.values()), 1):
            if number > MOST_TAGS:
                raise ValueError(f"tag_templates: one template makes more than {MOST_TAGS:,} tags: split it")
            tags.append(_filled(template.tag, dict(zip(names, map(str, values), strict=True))))
    return tags


def _filled(part: Any, values: Mapping[str, str]) -> Any:
    if isinstance(part, Mapping):
        return {key: _filled(item, values) for key, item in part.items()}
    if not isinstance(part, str):
        return part

    def value(place: re.Match[str]) -> str:
        name = place.group(1)
        if name in values:
            return values[name]
        if name in _OF_A_COMMAND:
            return place.group(0)
        raise ValueError(f"tag_templates: no level {name} for {part!r}: list its values under levels")

    return _PLACE.sub(value, part)
