"""What a collector that runs on this machine says of its sources: its /healthz, for `gl doctor`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

_TIMEOUT_S = 15.0


def ask_collector(home: Path) -> dict[str, Mapping[str, Any]] | None:
    """Return the findings about sources of the collector under `home`, by source, every source asked first.

    A source that is at risk has a second one, `risk.<source>`. None if no collector runs there.
    """
    try:
        url = json.loads((home / "collector.json").read_text(encoding="utf-8"))["url"]
        page = httpx.get(f"{url}/healthz/now", timeout=_TIMEOUT_S).json()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        # a file that a killed collector has left, or a port that somebody else has by now
        return None
    findings = page.get("findings", []) if isinstance(page, dict) else []
    return {f["name"].removeprefix("source."): f for f in findings if f["name"].startswith(("source.", "risk."))}


def connection_words(finding: Mapping[str, Any]) -> str:
    """Return a source's connection in one line: detail, endpoint, ServiceLevel, answer time."""
    facts: Mapping[str, Any] = finding.get("facts") or {}
    said = [str(finding["detail"])]
    if "endpoint" in facts:
        said.append(f"at {facts['endpoint']}")
    if "service_level" in facts:
        said.append(f"ServiceLevel {facts['service_level']}")
    if "health_ms" in facts:
        said.append(f"answered in {facts['health_ms']} ms")
    return ", ".join(said)
