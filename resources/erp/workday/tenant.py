"""The connections to one tenant: one for tokens, one for custom reports, one for SOAP; and the tenant's clock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from resources.core.clock import Clock
from resources.core.configuration.settings import EnvSecret
from resources.erp.workday.config import WorkdayConfig
from resources.transport.auth.config import ApiKeyConfig, AuthConfig, BasicConfig
from resources.transport.auth.refusals import Refusals
from resources.transport.connections.config import HttpConfig
from resources.transport.connections.server_clock import ServerClock
from resources.transport.http.answers import HttpAnswer, Media
from resources.transport.http.call_stats import CallStats
from resources.transport.http.client import HttpClient


class Connection:
    """Sends requests with one way of logging on, and the gateway's key beside it; looked up when they are sent."""

    def __init__(self, http: HttpClient, clock: ServerClock, key: ApiKeyConfig | None) -> None:
        """Wrap a client."""
        self._http = http
        self._clock = clock
        self._key = key

    @property
    def token_requests(self) -> int:
        """Token requests sent so far."""
        return self._http.token_requests

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def figures(self) -> dict[str, float]:
        """Return what the pool of connections did and holds."""
        return self._http.figures()

    def get(self, url: str, *, lane: str = "", media: Media = Media.JSON) -> HttpAnswer:
        """Return what `url` answers; errors as of `HttpClient.get`."""
        return self._noted(self._http.get(url, headers=self._gateway(), lane=lane, media=media))

    def query(self, url: str, content: bytes, *, headers: Mapping[str, str], lane: str, media: Media) -> HttpAnswer:
        """Return what `url` answers to a request that only reads; a SOAP fault is an answer."""
        return self._noted(
            self._http.post(
                url,
                content,
                headers={**self._gateway(), **headers},
                safe=True,
                lane=lane,
                media=media,
                taken=frozenset({500}) if media is Media.XML else frozenset(),
            )
        )

    def _gateway(self) -> dict[str, str]:
        if self._key is None:
            return {}
        secret = self._key.key
        assert isinstance(secret, EnvSecret)  # the configuration accepts nothing else
        return {self._key.header: f"{self._key.prefix} {secret.reveal()}".lstrip()}

    def _noted(self, answer: HttpAnswer) -> HttpAnswer:
        self._clock.told(answer.headers.get("date"))
        return answer


class Tenant:
    """The connections of one tenant; threads may share them."""

    def __init__(self, system: str, config: WorkdayConfig, clock: Clock, *, home: Path) -> None:
        """Prepare; nothing is sent.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self.clock = ServerClock(clock)
        stats = CallStats(system, home, clock=clock)
        user = config.isu

        def connection(http: HttpConfig, auth: AuthConfig | None) -> Connection:
            client = HttpClient(system, http, auth=auth, stats=stats, clock=clock)
            return Connection(client, self.clock, config.api_key)

        self.api = connection(config.http, config.auth)
        """WQL and REST, and whatever else takes a token."""
        self.soap = self.api if user is None else connection(config.http, None)
        """SOAP: with the token, or without log-on where the requests themselves carry user and password."""
        whose = "\n".join((system, user.model_dump_json() if user else "", config.http.base_url, "soap"))
        self.refusals = Refusals(system, whose, home / "refused")
        """Which password SOAP has refused: SOAP carries it in the message, where the transport does not see it."""
        # a report answers when it is complete
        patient = config.http.model_copy(update={"timeout": max(config.report_timeout, config.http.timeout)})
        basic = user and BasicConfig(type="basic", username=config.full_name(user), password=user.password)
        self.reports = connection(patient, basic or config.auth)
        """Custom reports."""

        self._all = tuple({id(one): one for one in (self.api, self.soap, self.reports)}.values())
        # the figures of a system are those of all its connections
        stats.watch(self._figures)

    def _figures(self) -> dict[str, float]:
        figures = [one.figures() for one in self._all]
        return {name: sum(one[name] for one in figures) for name in figures[0]}

    def close(self) -> None:
        """Close all of them."""
        for one in self._all:
            one.close()
