"""Pulls as the suite makes them, and what it reads out of the records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from resources.erp.config import SystemConfig
from resources.erp.connector import Part
from resources.erp.declared import split_path
from tests.contract.erp.rig import ErpRig


@dataclass
class Pull:
    """What a pull brought."""

    records: list[dict[str, Any]] = field(default_factory=list)
    pages: int = 0
    counts: set[int | None] = field(default_factory=set)

    def keys(self, config: SystemConfig, dataset: str) -> list[str]:
        """Return the source keys, in the order they came; `?` where a part is missing."""
        declared = config.datasets[dataset].key
        return ["/".join(str(at(record, path) or "?") for path in declared) for record in self.records]


def pull(rig: ErpRig, dataset: str, part: Part, config: SystemConfig | None = None) -> Pull:
    """Pull a part of a dataset by a client of its own."""
    found = Pull()
    client = rig.client(config or rig.config())
    try:
        for page in client.fetch(dataset, part):
            found.pages += 1
            found.counts.add(page.server_count)
            found.records += [json.loads(record) for record in page.records]
    finally:
        client.close()
    return found


def at(record: Any, path: str) -> Any:
    """Return what stands under a path, None if nothing does."""
    for name in split_path(path):
        if isinstance(record, list) and name.lstrip("-").isdecimal():
            record = record[int(name)] if -len(record) <= int(name) < len(record) else None
        else:
            record = record.get(name) if isinstance(record, dict) else None
    return record
