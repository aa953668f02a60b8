"""The table of docs/reference/targets.md, written from a result of `gl bench targets`; the words around it stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.targets.listed import PARTS, TARGETS
from resources.core.errors import ConfigError

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

_TITLES = {
    "readings": "Readings",
    "erp": "ERP",
    "agents": "Agents",
    "transforms": "Transforming",
    "faults": "Planted faults",
    "system": "The whole system",
}
_MET = {True: "yes", False: "**no**", None: ""}
_ROW = re.compile(r"^\| .* \| `(\w+)` \|$")
_HEAD = "| what | target | measured | met | figure |\n|---|---|---|---|---|"


def write(page: Path, result: Mapping[str, Any]) -> None:
    """Renew the table of `page`; rows of figures that this result lacks stay as they are.

    Raises:
        ConfigError: The page cannot be read or has no place for the table.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--page {page}: {error.strerror}; name docs/reference/targets.md") from error
    if BEGIN not in text or END not in text:
        raise ConfigError(f"--page {page} has no place for the table: it begins with {BEGIN} and ends with {END}")
    before, rest = text.split(BEGIN, 1)
    held, after = rest.split(END, 1)
    page.write_text(f"{before}{BEGIN}\n{_table(result, _rows(held))}\n{END}{after}", encoding="utf-8")


def _rows(table: str) -> dict[str, str]:
    return {found.group(1): line for line in table.splitlines() if (found := _ROW.match(line))}


def _table(result: Mapping[str, Any], held: Mapping[str, str]) -> str:
    rows = {**held, **{row["name"]: _row(row) for row in result["targets"]}}
    machine = result["machine"]
    found = [
        f"Last measured on {datetime.now(UTC):%Y-%m-%d}: {machine['cpus']} CPUs, {machine['memory_gib']} GiB, Python"
        f" {machine['python']}, load {machine['load_before']} from other work before it began."
    ]
    for part in PARTS:
        of_part = [rows[name] for name, target in TARGETS.items() if target.part == part and name in rows]
        if of_part:
            found.append("\n".join([f"### {_TITLES[part]}\n", _HEAD, *of_part]))
    return "\n\n".join(found)


def _row(row: Mapping[str, Any]) -> str:
    target = TARGETS[row["name"]]
    measured = f"{row['measured']:,g} {row['unit']}".strip()
    return f"| {target.wording} | {target.words()} | {measured} | {_MET[row['met']]} | `{row['name']}` |"
