"""`gl doctor` of SAP: can every dataset be read by this user, and is the system's clock right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import quote

from resources.core.errors import DataError, SourceError, UnreachableError
from resources.erp.connector import Finding
from resources.erp.sap.asked import Asked
from resources.transport.connections.server_clock import ServerClock
from resources.transport.http.client import HttpClient
from resources.transport.odata.v2 import encoded_v2, split_v2
from resources.transport.odata.v4 import Query
from resources.transport.text.json_pages import JsonEnvelope

ENVELOPE_V4 = JsonEnvelope("value", count=("@odata.count",))

MOST_SKEW = timedelta(seconds=60)
"""Clocks may be this far apart: tokens and the bounds of reads by change depend on them."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a look says things by."""

    clock: ServerClock
    day: date
    """The day that facts were asked for."""
    explained: Callable[[SourceError], str]


def look(
    http: HttpClient, root: Callable[[Asked], str], datasets: Sequence[tuple[Asked, Query]], told: Told
) -> list[Finding]:
    """Return what there is to say.

    Args:
        http: The system.
        root: Gives the path of a dataset's service.
        datasets: What is read, and the query of one entity of it.
        told: The system's clock, and how errors are explained.

    Raises:
        UnreachableError: Nothing answers there.
    """
    findings = [_dataset(http, root(asked), asked, query, told) for asked, query in datasets]
    if told.clock.ahead is None and any(finding.level == "error" for finding in findings):
        # what keeps all datasets from being read keeps the clock from being seen as well
        return findings
    return [*findings, _skew(told.clock)]


def _dataset(http: HttpClient, root: str, asked: Asked, query: Query, told: Told) -> Finding:
    """Ask for one entity: token, service, names and permission are right if an answer comes."""
    resource = asked.declared.resource
    options = encoded_v2(query, top=1) if asked.version == 2 else replace(query, top=1).encoded()
    try:
        answer = http.get(f"{root}/{quote(resource)}?{options}", lane="look")
        split = split_v2(answer.body) if asked.version == 2 else ENVELOPE_V4.split(answer.body)
    except UnreachableError:
        raise
    except SourceError as error:
        return Finding("error", f"{asked.dataset}: {told.explained(error)}")
    except DataError as error:
        return Finding("error", f"{asked.dataset}: {http.source}: {resource}: the answer is {error}")
    told.clock.told(answer.headers.get("date"))
    part = "" if asked.declared.is_master else f" of {told.day}"
    count = len(split.records) if split.count is None else split.count
    return Finding("ok", f"{asked.dataset}{part}: {count} entities of {resource} can be read")


def _skew(clock: ServerClock) -> Finding:
    if clock.ahead is None:
        return Finding("warning", "the system's answers carry no Date: its clock cannot be compared")
    says = f"its clock is {clock.ahead.total_seconds():+.0f} s from ours"
    return Finding("ok" if abs(clock.ahead) <= MOST_SKEW else "warning", says)
