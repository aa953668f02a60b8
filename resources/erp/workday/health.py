"""`gl doctor` of Workday: log-on, permission for each dataset, clock, and personal data that a report gives away."""

from __future__ import annotations

from datetime import timedelta

from resources.core.errors import DataError, PlatformError, SourceError, UnreachableError
from resources.erp.connector import Day, Finding, Whole
from resources.erp.declared import DatasetConfig
from resources.erp.workday.advice import explained
from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.options import protocol_of
from resources.erp.workday.privacy import is_personal
from resources.erp.workday.sources.pages import Pull
from resources.erp.workday.sources.raas import RaasSource, columns_of
from resources.erp.workday.sources.soap import SoapSource
from resources.erp.workday.sources.wql import WqlSource
from resources.transport.connections.server_clock import ServerClock
from resources.transport.text.json_pages import JsonEnvelope

_MOST_SKEW = timedelta(seconds=60)
_ENVELOPE = JsonEnvelope("data", count="total")


class Doctor:
    """Looks at one tenant: asks for one record of each dataset, or for the schema of its report."""

    def __init__(
        self,
        config: WorkdayConfig,
        clock: ServerClock,
        *,
        system: str,
        wql: WqlSource,
        raas: RaasSource,
        soap: SoapSource,
    ) -> None:
        """Take what reads."""
        self._system, self._config, self._clock = system, config, clock
        self._wql, self._raas, self._soap = wql, raas, soap

    def look(self) -> list[Finding]:
        """Return what there is to say of each dataset, and of the clock.

        Raises:
            UnreachableError: Nothing answers there.
        """
        findings = [
            finding for name, declared in self._config.datasets.items() for finding in self._dataset(name, declared)
        ]
        return [*findings, self._skew()]

    def _dataset(self, name: str, declared: DatasetConfig) -> list[Finding]:
        protocol = protocol_of(declared)
        try:
            if protocol == "raas":
                return self._report(name, declared)
            if protocol == "soap":
                self._soap.look(self._pull(name, declared))
            else:
                return [self._rows(name, declared)]
        except UnreachableError:
            raise
        except SourceError as error:
            return [Finding("error", f"{name}: {explained(error)}")]
        except (PlatformError, ValueError) as error:
            return [Finding("error", f"{name}: {error}")]
        return [Finding("ok", f"{name}: {declared.resource} of {declared.service} answers")]

    def _rows(self, name: str, declared: DatasetConfig) -> Finding:
        pull = self._pull(name, declared)
        total = _ENVELOPE.split(self._wql.first(pull).body).count
        if total == 0 and declared.is_master:
            # who lacks the permission for instances gets none of them and no error
            return Finding(
                "warning",
                f"{name}: {declared.resource} shows no record at all: most likely the security group of the API "
                "client's user lacks the domain of this data source",
            )
        return Finding("ok", f"{name}: {declared.resource} shows {total} records {pull.part}")

    def _pull(self, name: str, declared: DatasetConfig) -> Pull:
        # one day costs the tenant less than all days
        part = Whole() if declared.is_master else Day(self._clock.now_or_ours().date() - timedelta(days=1))
        return Pull(self._system, name, declared, part)

    def _report(self, name: str, declared: DatasetConfig) -> list[Finding]:
        try:
            columns = [column.path for column in columns_of(self._raas.schema(declared))]
        except DataError as error:
            return [Finding("warning", f"{name}: report {declared.resource}: {error}")]
        personal = [column for column in columns if is_personal(column)]
        if personal and self._config.is_about_people(name, declared):
            return [
                Finding(
                    "warning",
                    f"{name}: report {declared.resource} has personal columns ({', '.join(personal)}): they are "
                    "dropped here, but take them out of the report, so that they do not leave Workday",
                )
            ]
        return [Finding("ok", f"{name}: report {declared.resource} can be read")]

    def _skew(self) -> Finding:
        ahead = self._clock.ahead
        if ahead is None:
            return Finding("warning", "the answers carry no Date: the tenant's clock cannot be compared")
        said = f"its clock is {ahead.total_seconds():+.0f} s from ours"
        if abs(ahead) <= _MOST_SKEW:
            return Finding("ok", said)
        return Finding("warning", f"{said}: signed assertions may be refused, and reads of changes miss some")
