"""`gl doctor` of Finance & Operations: token, clock, permission, companies, formats of display values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from resources.core.errors import ProtocolError, SourceError, UnreachableError
from resources.erp.connector import Finding
from resources.erp.dynamics.config import DynamicsConfig
from resources.transport.connections.server_clock import ServerClock
from resources.transport.http.client import HttpClient
from resources.transport.odata.v4 import Query
from resources.transport.text.foreign_text import foreign_text

_MOST_SKEW = timedelta(seconds=60)
_DELIMITERS = {
    "Hyphen": "-",
    "Period": ".",
    "Underscore": "_",
    "Bar": "|",
    "DoubleHypen": "--",
    "DoubleHyphen": "--",
    "DoublePeriod": "..",
    "DoubleUnderscore": "__",
    "DoubleBar": "||",
}
"""Member of DimensionSegmentDelimiter -> what it stands for; one of them is misspelt in the product."""

Explained = Callable[[SourceError], str]


def look(http: HttpClient, config: DynamicsConfig, clock: ServerClock, *, explained: Explained) -> list[Finding]:
    """Return what there is to say of the environment.

    Raises:
        UnreachableError: Nothing answers there.
    """
    look_at = _Look(http, config, clock, explained)
    findings = [look_at.dataset(name) for name in config.datasets]
    if all(finding.level == "error" for finding in findings) and findings:
        # what keeps all datasets from being read keeps the rest from being seen as well
        return findings
    return [*findings, look_at.skew(), *look_at.companies(), *look_at.formats(), *look_at.delimiter()]


class _Look:
    """One look; each method asks for one record or for a small set."""

    def __init__(self, http: HttpClient, config: DynamicsConfig, clock: ServerClock, explained: Explained) -> None:
        self._http, self._config, self._clock, self._explained = http, config, clock, explained

    def _read(self, resource: str, root: str = "/data", **options: Any) -> list[dict[str, Any]]:
        custom = {"cross-company": "true"} if self._config.cross_company else {}
        answer = self._http.get_json(f"{root}/{resource}?{Query(custom=custom, **options).encoded()}", lane="look")
        self._clock.told(answer.headers.get("date"))
        records = answer.content.get("value") if isinstance(answer.content, dict) else None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ProtocolError(f"{self._http.source}: {root}/{resource} has no list under `value`")
        return records

    def dataset(self, name: str) -> Finding:
        """Tell whether a dataset's set can be read: token, name, permission."""
        declared = self._config.datasets[name]
        try:
            self._read(declared.resource, (declared.service or "/data").rstrip("/"), top=1)
        except UnreachableError:
            raise
        except SourceError as error:
            return Finding("error", f"{name}: {self._explained(error)}")
        return Finding("ok", f"{name}: {declared.resource} can be read")

    def skew(self) -> Finding:
        """Tell how far the clocks are apart; tokens and the bounds of reads by change depend on it."""
        ahead = self._clock.ahead
        if ahead is None:
            return Finding("warning", "the system's answers carry no Date: its clock cannot be compared")
        level = "ok" if abs(ahead) <= _MOST_SKEW else "warning"
        return Finding(level, f"its clock is {ahead.total_seconds():+.0f} s from ours")  # type: ignore[arg-type]

    def companies(self) -> list[Finding]:
        """Tell whether the configured companies are there, and what is read where none is configured."""
        if not self._config.cross_company:
            return [
                Finding("warning", "cross_company is off: only the default company of the application's user is read")
            ]
        known = self._known("LegalEntities", "LegalEntityId")
        if known is None:
            return [Finding("warning", "LegalEntities cannot be read: whether the companies are there is not known")]
        names = {name.lower() for name in known}
        missing = [company for company in self._config.companies if company not in names]
        if missing:
            told = foreign_text(", ".join(sorted(names)), limit=200)
            return [Finding("error", f"companies: {', '.join(missing)}: no such legal entity; there are {told}")]
        asked = ", ".join(self._config.companies) or f"all {len(names)} that the user may see"
        return [Finding("ok", f"companies: {asked}")]

    def formats(self) -> list[Finding]:
        """Tell whether display values are split as the system joins them."""
        kinds = {
            "DataEntityLedgerDimensionFormat": ("ledger_dimension_format", self._config.ledger_dimension_format),
            "DataEntityDefaultDimensionFormat": ("default_dimension_format", self._config.default_dimension_format),
        }
        try:
            records = self._read("DimensionIntegrationFormats")
        except SourceError:
            return [Finding("warning", "DimensionIntegrationFormats cannot be read: compare the formats by hand")]
        active = {
            str(record.get("DimensionFormatType")): str(record.get("FinancialDimensionFormat"))
            for record in records
            if record.get("IsActive") == "Yes"
        }
        return [_format(key, active.get(kind), configured) for kind, (key, configured) in kinds.items()]

    def delimiter(self) -> list[Finding]:
        """Tell whether segments are separated by what the configuration says."""
        known = self._known("DimensionParameters", "DimensionSegmentDelimiter") or []
        found = [_DELIMITERS[name] for name in known if name in _DELIMITERS]
        configured = self._config.dimension_delimiter
        if not found or found[0] == configured:
            return []
        return [Finding("error", f"dimension_delimiter is {configured!r}, the system has {found[0]!r}")]

    def _known(self, resource: str, name: str) -> list[str] | None:
        try:
            return [str(record.get(name)) for record in self._read(resource, select=(name,))]
        except SourceError:
            return None


def _format(key: str, active: str | None, configured: Sequence[str]) -> Finding:
    if active is None:
        return Finding("warning", f"{key}: the system has no active format of that type")
    # names of dimensions hold no delimiter of values: the format itself is always written with hyphens
    there = tuple(part for part in active.split("-") if part)
    if there == tuple(configured):
        return Finding("ok", f"{key} is the system's active one")
    told = foreign_text(", ".join(there), limit=200)
    return Finding(
        "error", f"{key} is {', '.join(configured)}, the system's active one is {told}: segments are mixed up"
    )
