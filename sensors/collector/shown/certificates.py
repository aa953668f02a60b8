"""What the collector says of certificates: those its configuration names, and those that peers showed at connecting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from resources.core.clock import Clock
from resources.integrations import Integrations
from resources.transport.trust.certificate_files import (
    CertificateInUse,
    certificates_in,
    first_to_expire,
    peer_in_use,
    warnings_of,
)
from sensors.collector.health import Finding
from sensors.collector.state import SourceState

READ_EVERY_S = 60.0
"""Files are read again after this long: a certificate is renewed by replacing its file."""


class CertificateWatch(Collector):
    """Knows every certificate in use; for /healthz and, as a Prometheus collector, for /metrics."""

    def __init__(self, config: Integrations, states: Mapping[str, SourceState], clock: Clock) -> None:
        """Watch what `config` names, and what peers of `states` show."""
        self._config, self._states, self._clock = config, states, clock
        self._files: list[CertificateInUse] = []
        self._read_at: float | None = None

    def certificates(self) -> list[CertificateInUse]:
        """Return all of them; a key that names one file twice is one entry."""
        mark = self._clock.monotonic()
        if self._read_at is None or mark - self._read_at >= READ_EVERY_S:
            self._files, self._read_at = list(certificates_in(self._config)), mark
        peers = (peer_in_use(f"sources.{state.name}", state.facts) for state in list(self._states.values()))
        return [*self._files, *(peer for peer in peers if peer is not None)]

    def findings(self) -> Iterable[Finding]:
        """Yield a warning for each that expires within 30 days, has expired, or cannot be read; else one green line.

        Never red: a source that cannot connect for it is red itself, and restarting the collector renews nothing.
        """
        found, now = self.certificates(), self._clock.now()
        warned = warnings_of(found, now)
        for one, words in warned:
            yield Finding(f"certificate.{one.key}", "warning", words)
        nearest = first_to_expire(found)
        if nearest is not None and not warned:
            yield Finding("certificates", "green", f"{len(found)} in use, the first expires on {nearest:%Y-%m-%d}")

    def collect(self) -> Iterator[Metric]:
        """Yield the seconds until each expires."""
        now = self._clock.now()
        family = GaugeMetricFamily(
            "gl_certificate_expiry_seconds",
            "Seconds until a certificate expires, below zero once it has; role peer: as a peer showed it.",
            labels=("key", "role", "subject", "sha256"),
        )
        # a CA may lie under several keys, never twice under one with the same fingerprint
        rows = {
            (one.key, one.role, one.subject, one.sha256): left
            for one in self.certificates()
            if (left := one.left(now)) is not None
        }
        for labels, left in rows.items():
            family.add_metric(labels, left.total_seconds())
        yield family
