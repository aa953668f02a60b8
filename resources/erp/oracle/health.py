"""Whether a pod is well: token, clock, versions, and what the client may see."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from resources.core.errors import AuthError, SourceError, UnreachableError
from resources.erp.connector import Finding
from resources.erp.oracle.config import OracleConfig
from resources.erp.oracle.pod import UNMAPPED, Pod

SKEW = timedelta(seconds=30)
"""From here on the clocks of pod and platform are said to differ."""


class _Extension(msgspec.Struct, rename="camel"):
    allowed_framework_versions: list[str] = []


class _Version(msgspec.Struct):
    version: str = ""
    extension: _Extension | None = msgspec.field(default=None, name="adf:extension")


class _Versions(msgspec.Struct):
    items: list[_Version] = []


def look(pod: Pod, config: OracleConfig) -> list[Finding]:
    """Return what there is to say; reads a record of each resource at most.

    Raises:
        UnreachableError: The pod could not be reached at all.
    """
    root, _, version = config.api_path.rpartition("/")
    try:
        answer = pod.get(root)
    except UnreachableError:
        raise
    except SourceError as error:
        return [Finding("error", str(error))]
    findings = [Finding("ok", f"token and connection: {root} answers")]
    findings += _clock(pod)
    findings += _versions(answer, version, config.framework_version)
    return findings + _sight(pod, config)


def _clock(pod: Pod) -> list[Finding]:
    theirs, ours = pod.server_time(), pod.now()
    if theirs is None:
        return [Finding("warning", "clock: the answer has no Date header; skew cannot be told")]
    skew = theirs - ours
    if abs(skew) > SKEW:
        side = "ahead of" if skew > timedelta(0) else "behind"
        return [
            Finding(
                "warning",
                f"clock: the pod is {abs(skew).total_seconds():.0f} s {side} this machine; check NTP here: changes are "
                "read by the pod's time",
            )
        ]
    return [Finding("ok", "clock: pod and platform agree")]


def _versions(answer: bytes, version: str, framework: int) -> list[Finding]:
    try:
        found = msgspec.json.decode(answer, type=_Versions).items
    except msgspec.DecodeError:
        return [Finding("warning", "versions: the answer is no list of versions; is api_path a Fusion REST API?")]
    named = next((one for one in found if one.version == version), None)
    if named is None and version != "latest":
        known = ", ".join(one.version for one in found)
        return [Finding("warning", f"versions: {version} of api_path is none of {known or 'those listed (none)'}")]
    allowed = named.extension.allowed_framework_versions if named and named.extension else []
    if allowed and str(framework) not in allowed:
        return [
            Finding("error", f"versions: framework_version {framework} is not offered; there are {', '.join(allowed)}")
        ]
    return [Finding("ok", f"versions: REST API {version}, framework {framework}")]


def _sight(pod: Pod, config: OracleConfig) -> list[Finding]:
    """Return what the client may see: an unmapped one gets empty answers, not a refusal."""
    empty: list[str] = []
    findings: list[Finding] = []
    for name, declared in config.datasets.items():
        try:
            if pod.has_records(declared.resource, lane=name):
                findings.append(Finding("ok", f"permission: {name} reads {declared.resource}"))
            elif not config.options_of(name).may_be_empty:
                empty.append(name)
        except AuthError as error:
            findings.append(Finding("error", f"permission: {name}: {error}"))
        except SourceError as error:
            findings.append(Finding("error", f"{name}: {error}"))
    if not empty:
        return findings
    return findings + _told_apart(pod, config, empty)


def _told_apart(pod: Pod, config: OracleConfig, empty: list[str]) -> list[Finding]:
    try:
        sighted = pod.has_records(config.must_exist)
    except SourceError as error:
        return [
            Finding("warning", f"permission: {config.must_exist}, which must have records, cannot be read: {error}")
        ]
    if not sighted:
        return [Finding("error", f"permission: {UNMAPPED}")]
    return [
        Finding(
            "error",
            f"permission: {name} reads {config.datasets[name].resource} without seeing any record: the user's roles do "
            "not show them, or nothing was ever booked (then set options.may_be_empty: true)",
        )
        for name in empty
    ]
