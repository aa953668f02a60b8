"""`docs/connectors.md`: what each SCADA connector can do and how good it is, from its code and its quality list.

`python -m resources.scada.quality_matrix` writes the page; a test holds that it is up to date. What a connector can do
is asked of its class; what it is worth stands in its README: a table `| item | state |`, the state one of done, todo
and exempt, with words behind it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resources.scada import connector as capabilities

PAGE = Path(__file__).resolve().parents[2] / "docs" / "connectors.md"

CONNECTORS: Mapping[str, tuple[str, str]] = {
    "OPC UA": ("opc_ua", "OpcUaClient"),
    "Modbus": ("modbus", "ModbusClient"),
    "MQTT": ("mqtt", "MqttClient"),
    "BACnet/IP": ("bacnet", "BacnetClient"),
}
"""Title -> package and class of the connector."""

LISTS: Mapping[str, str] = {title: package for title, (package, _) in CONNECTORS.items()} | {
    "Sparkplug B": "mqtt/sparkplug"
}
"""Title -> folder whose README has a quality list: the connectors, and what lives in one of them."""

_ABILITIES: Mapping[str, str] = {
    "discovers what its source offers": "CanDiscover",
    "reads the source's history": "HasHistory",
    "writes (`gl write`)": "CanWrite",
    "says whether its peer is well": "HasHealth",
    "can be looked for by a TCP connection": "HasAddress",
    "can be asked whether it is there, without a port": "CanLook",
    "moves between several endpoints": "HasEndpoints",
    "keeps state of its own over a restart": "KeepsState",
}
"""What a connector may be able to do -> the capability of `resources.scada.connector` that says so."""

_ROW = re.compile(r"^\| (?P<item>[^|]+?) \| (?P<state>.+?) \|$")
_STATES = ("done", "todo", "exempt")


@dataclass(frozen=True, slots=True)
class Quality:
    """One row of a quality list."""

    item: str
    state: str
    words: str
    """What stands behind the state: how, or why not."""

    @property
    def short(self) -> str:
        """The state as the matrix shows it; `partly` where a part of what is done is still to do."""
        return "partly" if self.state == "done" and re.search(r"\btodo\b", self.words) else self.state


def quality_list(readme: str, name: str) -> list[Quality]:
    """Return the quality list of a README.

    Raises:
        ValueError: There is none, an item stands twice, or a state is none of done, todo and exempt.
    """
    _, heading, rest = readme.partition("## Quality list\n")
    rows = [match for line in rest.partition("\n## ")[0].splitlines() if (match := _ROW.match(line))]
    rows = [row for row in rows if row["item"] not in ("item", "---")]
    if not heading or not rows:
        raise ValueError(f"{name}: no quality list: a heading `## Quality list` and a table `| item | state |`")
    found: dict[str, Quality] = {}
    for row in rows:
        state, words = re.match(r"(\w*)[:;,]?\s*(.*)", row["state"]).groups()  # type: ignore[union-attr] # matches all
        if state not in _STATES:
            raise ValueError(f"{name}: {row['item']}: state {row['state']!r} begins with none of {', '.join(_STATES)}")
        if row["item"] in found:
            raise ValueError(f"{name}: {row['item']} stands twice in the quality list")
        if state == "exempt" and not words:
            raise ValueError(f"{name}: {row['item']}: exempt needs a reason")
        found[row["item"]] = Quality(row["item"], state, words)
    return list(found.values())


def page() -> str:
    """Return the page as it should be."""
    folder = Path(__file__).parent
    lists = {
        title: quality_list((folder / package / "README.md").read_text(encoding="utf-8"), f"{package}/README.md")
        for title, package in LISTS.items()
    }
    return "\n".join([*_head(), *_abilities(), *_matrix(lists), *_details(lists), ""])


def _head() -> Iterator[str]:
    yield "# SCADA connectors"
    yield ""
    yield "Made by `make docs` from the connectors' classes and the quality lists of their READMEs: edit those."
    yield "`partly`: done but for what its words name. `exempt`: does not apply, with the reason below."
    yield ""


def _abilities() -> Iterator[str]:
    classes = {
        title: getattr(importlib.import_module(f"resources.scada.{package}.client"), name)
        for title, (package, name) in CONNECTORS.items()
    }
    yield "## What each can do"
    yield ""
    yield from _table(
        ["", *classes],
        (
            [words, *("yes" if _can(kind, getattr(capabilities, ability)) else "–" for kind in classes.values())]
            for words, ability in _ABILITIES.items()
        ),
    )


def _can(kind: type, ability: type) -> bool:
    """Return whether a class has the methods of a capability; `issubclass` wants protocols of methods alone."""
    wanted = [name for name, member in vars(ability).items() if not name.startswith("_") and callable(member)]
    return all(callable(getattr(kind, name, None)) for name in wanted)


def _matrix(lists: Mapping[str, Sequence[Quality]]) -> Iterator[str]:
    states = {title: {one.item.lower(): one.short for one in found} for title, found in lists.items()}
    items = {one.item.lower(): one.item for found in lists.values() for one in found}
    # what several connectors speak of comes first, in the order of their lists
    order = sorted(items, key=lambda item: -sum(item in found for found in states.values()))
    yield "## Quality lists side by side"
    yield ""
    totals = ["**all**"]
    for found in lists.values():
        counts = {state: sum(one.short == state for one in found) for state in ("done", "partly", "todo", "exempt")}
        totals.append(", ".join(f"{number} {state}" for state, number in counts.items() if number))
    yield from _table(
        ["item", *lists],
        [*([items[item], *(states[title].get(item, "") for title in lists)] for item in order), totals],
    )


def _details(lists: Mapping[str, Sequence[Quality]]) -> Iterator[str]:
    for title, found in lists.items():
        package = LISTS[title]
        yield f"## {title}"
        yield ""
        yield f"From [resources/scada/{package}/README.md](../resources/scada/{package}/README.md)."
        yield ""
        yield from _table(["item", "state", ""], ([one.item, one.short, one.words] for one in found))


def _table(head: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
