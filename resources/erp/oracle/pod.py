"""The pod behind the client: its REST API over HTTP, its clock, and whether the client sees anything there at all."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

from resources.core.clock import Clock
from resources.core.errors import AuthError, DataError, ProtocolError, SourceError
from resources.erp.oracle.codec import collection_of
from resources.erp.oracle.config import OracleConfig
from resources.erp.oracle.query import address
from resources.transport.connections.server_clock import ServerClock
from resources.transport.http.answers import HttpAnswer
from resources.transport.http.call_stats import CallStats
from resources.transport.http.client import HttpClient

UNMAPPED = (
    "the token is good, but everything is empty: no Fusion user belongs to the client, or the user has no roles. "
    "Have a user created in Fusion whose name is the client id, with the roles of the README"
)
"""What an empty answer to what must have records means."""


class Pod:
    """One pod of Fusion; threads may share it."""

    def __init__(self, system: str, config: OracleConfig, *, home: Path, clock: Clock) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self.system = system
        self._config = config
        self._clock = clock
        self._http = HttpClient(
            system,
            config.http,
            auth=config.auth,
            headers={"REST-Framework-Version": str(config.framework_version)},
            stats=CallStats(system, home, clock=clock),
            clock=clock,
        )
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._server_clock = ServerClock(clock)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def token_requests(self) -> int:
        """Token requests sent so far."""
        return self._http.token_requests

    def get(self, url: str, *, lane: str = "") -> bytes:
        """Return what an address of the pod answers, JSON.

        Raises:
            SourceError: As `HttpClient.get`.
        """
        answer = self._http.get(url, lane=lane)
        self._note_time(answer)
        return answer.body

    def path(self, resource: str) -> str:
        """Return the path of a resource, or of what is below it."""
        return f"{self._config.api_path}/{resource}"

    def has_records(self, resource: str, *, lane: str = "") -> bool:
        """Return whether a resource shows any record at all.

        Raises:
            SourceError: It could not be read.
        """
        url = address(self.path(resource), {"onlyData": "true", "limit": "1"})
        try:
            return bool(collection_of(self.get(url, lane=lane)).items)
        except DataError as error:
            raise ProtocolError(
                f"{self.system}: {self.path(resource)} is {error}; is http.base_url a Fusion pod?", source=self.system
            ) from error

    def is_alive(self, resource: str, *, lane: str) -> bool:
        """Return whether the pod answers to a read of one record without children."""
        try:
            self.has_records(resource, lane=lane)
        except SourceError:
            return False
        return True

    def check_sight(self, resource: str, *, lane: str) -> None:
        """Tell a quiet day from a client that sees nothing; once a resource has shown a record, it is not asked again.

        Raises:
            AuthError: The client sees no record of the resource at all, whatever the day.
            SourceError: It could not be asked.
        """
        with self._lock:
            if resource in self._seen:
                return
        if self.has_records(resource, lane=lane):
            with self._lock:
                self._seen.add(resource)
            return
        if not self.has_records(self._config.must_exist, lane=lane):
            raise AuthError(
                f"{self.system}: {self.path(resource)} and {self._config.must_exist} answer 200 without a record: "
                f"{UNMAPPED}; nothing stored is changed",
                source=self.system,
            )
        raise AuthError(
            f"{self.system}: {self.path(resource)} answers 200 without any record, whatever the day: the user's roles "
            "do not show them (data access set, organization), or nothing was ever booked; in the latter case set "
            f"datasets.{lane}.options.may_be_empty: true; nothing stored is changed",
            source=self.system,
        )

    def now(self) -> datetime:
        """Return the platform's time."""
        return self._clock.now()

    def server_time(self) -> datetime | None:
        """Return the pod's time now, by its last answer; None if it has told none yet."""
        return self._server_clock.now()

    def _note_time(self, answer: HttpAnswer) -> None:
        # a proxy may have added a second one
        self._server_clock.told(next(iter(answer.headers.get_list("date")), None))
