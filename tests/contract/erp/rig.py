"""What a kind of ERP system brings to the suite: its fake on a real socket, and how it is made to misbehave.

To join, write `tests/contract/erp/<kind>_rig.py` with a class `Rig(ErpRig)`; `sap_rig.py` is an example. The suite finds
it by its name and runs every test against it. A trouble that a system cannot have stands in `exempt`, with the reason.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from resources.core.clock import Clock
from resources.erp import kinds
from resources.erp.config import SystemConfig
from resources.erp.connector import ErpClient
from resources.transport.trust.certificates import CertificateAuthority

SYSTEM = "rig"
"""Name of the system in every test."""


class Trouble(Enum):
    """A way in which a system misbehaves, once or for good."""

    THROTTLED = "429 with Retry-After: 0"
    UNAVAILABLE = "503"
    BAD_GATEWAY = "502 or 504"
    SERVER_ERROR = "500 with an error in the system's own form"
    FORBIDDEN = "403: the permission is missing"
    LOGIN_PAGE = "a page of HTML with status 200"
    TRUNCATED = "JSON, XML or CSV that ends in the middle, with status 200"
    NOT_UTF8 = "bytes that are not of the charset declared"
    WRONG_CHARSET = "another charset than UTF-8, declared"
    DROPPED = "the connection breaks in the middle of the body"
    FOREIGN_LINK = "the next page is on another host"
    REPEATED_PAGE = "the next page is the one just read"
    EMPTY_PAGE = "a page without records, but with more behind it"
    OTHER_DAY = "the filter on the day is ignored"
    NO_KEY = "a record without its key"
    HUGE_FIELD = "a text of 10 MB in one field"


PASSING = (Trouble.THROTTLED, Trouble.UNAVAILABLE, Trouble.BAD_GATEWAY, Trouble.DROPPED)
"""What costs nothing if it ends in time."""

HARMLESS = (Trouble.EMPTY_PAGE, Trouble.WRONG_CHARSET, Trouble.HUGE_FIELD, Trouble.NO_KEY)
"""What brings every record all the same."""


class ErpRig(ABC):
    """A running fake and what the suite has to know of it. `start` is called once, `reset` before each test."""

    kind: ClassVar[str]
    day: ClassVar[date]
    """A day in the past with records of `facts` on at least two pages."""
    facts: ClassVar[str]
    """A dataset of facts."""
    master: ClassVar[str | None] = None
    """A dataset of master data, if the kind ships one."""
    changing: ClassVar[str | None] = None
    """A dataset with a change stamp, if the kind ships one."""
    environment: ClassVar[Mapping[str, str]]
    """Secrets: name of the variable -> the right value."""
    troubles: ClassVar[Mapping[Trouble, str]]
    """Trouble -> what `misbehave` calls it."""
    exempt: ClassVar[Mapping[Trouble, str]] = {}
    """Trouble -> why this system cannot have it."""
    has_tokens: ClassVar[bool] = True
    """False where every request carries the secret itself."""

    def __init__(self, authority: CertificateAuthority) -> None:
        """Prepare; nothing runs yet."""
        self.authority = authority

    @abstractmethod
    def start(self) -> None:
        """Start the fake."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it."""

    @abstractmethod
    def reset(self) -> None:
        """Forget faults, denials and renamed properties."""

    @abstractmethod
    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the system's block of integrations.yaml, with every dataset that the kind ships, small pages, 3
        attempts and no rate limit; `changes` replace keys of it, those of `http` one by one."""

    @abstractmethod
    def client(self, config: SystemConfig, clock: Clock | None = None) -> ErpClient:
        """Return the client under test."""

    @abstractmethod
    def keys(self, dataset: str, day: date | None = None) -> set[str]:
        """Return the source keys (values of `key`, joined by `/`, without `key_prefix`) that the fake holds: those of a
        day, or all."""

    @abstractmethod
    def changed_keys(self, since: datetime, until: datetime) -> set[str]:
        """Return the source keys of `changing` whose stamp lies in `[since, until)`."""

    @abstractmethod
    def misbehave(self, name: str, *, times: int = 1, after: int = 0) -> None:
        """Let `after` requests for data pass, and have the next `times` meet the trouble called `name`."""

    @abstractmethod
    def expire_tokens(self) -> None:
        """Make every token issued so far invalid."""

    @abstractmethod
    def requests(self) -> tuple[int, int]:
        """Return how many requests for data and for tokens there were."""

    @abstractmethod
    def deny(self, dataset: str) -> None:
        """Take the permission for a dataset away."""

    @abstractmethod
    def rename(self, dataset: str) -> str:
        """Rename a property in the metadata that the dataset's declaration reads; return its path."""

    def config(self, **changes: Any) -> SystemConfig:
        """Return the configuration, validated."""
        return kinds.connector(self.kind).config_class.model_validate(self.settings(**changes))


@cache
def rigs() -> dict[str, type[ErpRig]]:
    """Return kind -> rig, of all kinds that have joined."""
    found: dict[str, type[ErpRig]] = {}
    for file in sorted(Path(__file__).parent.glob("*_rig.py")):
        rig: type[ErpRig] = importlib.import_module(f"tests.contract.erp.{file.stem}").Rig
        found[rig.kind] = rig
    return found
