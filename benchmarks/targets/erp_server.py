"""The demo plant's Dynamics-like service with days as full as the targets speak of, in a process of its own.

OAuth 2.0, paging and TLS are those of the fake; only its book is another one. A day has 1,000 posted entries, 500
production orders and 500 journal lines. On one day every tenth entry and order has a planted fault; `planted` says
which. `python -m benchmarks.targets.erp_server FOLDER` serves until it is ended.
"""

from __future__ import annotations

import socket
import sys
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.erp.server import announced
from resources.demo_plant.erp.dynamics.book import GENERAL_JOURNAL, DynamicsBook
from resources.demo_plant.erp.dynamics.demo import SECRET, demo_settings
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.demo_plant.erp.dynamics.service import create_app
from resources.erp.dynamics.config import DynamicsConfig
from resources.transport.trust.certificates import CertificateAuthority

Record = dict[str, Any]

SECRET_VARIABLE = SECRET
"""Environment variable that the client takes its secret from."""

ORDERS = "ProductionOrderHeaders"
COUNTS = {GENERAL_JOURNAL: 1_000, ORDERS: 500, "LedgerJournalLines": 500}
"""Set -> records of each day."""

_EVERY = 10
_NUMBERED = {
    GENERAL_JOURNAL: ("GeneralJournalAccountEntryRecId", 9_000_000_000),
    ORDERS: ("ProductionOrderNumber", 0),
    "LedgerJournalLines": ("LineNumber", 1),
}
"""Set -> the part of its key that tells the records apart, and its first number."""

FAULTS: dict[str, tuple[tuple[str, Record], ...]] = {
    GENERAL_JOURNAL: (
        ("no transaction id", {"JournalNumber": "", "Voucher": ""}),
        ("no amount", {"TransactionCurrencyAmount": None}),
        ("amount is text", {"TransactionCurrencyAmount": "n/a"}),
        ("unknown currency", {"TransactionCurrencyCode": "ZZZ"}),
        ("no currency", {"TransactionCurrencyCode": ""}),
        ("unknown side", {"IsCredit": "Maybe"}),
        ("debit's sign on a credit", {"IsCredit": "Yes", "TransactionCurrencyAmount": 812.5}),
        ("no account", {"LedgerAccount": ""}),
    ),
    ORDERS: (
        ("negative quantity", {"ScheduledQuantity": -4}),
        ("quantity is text", {"ScheduledQuantity": "four"}),
        ("end before start", {"ScheduledEndDate": "2020-01-01T12:00:00Z"}),
        ("end is no date", {"ScheduledEndDate": "soon"}),
        ("no plant", {"ProductionSiteId": ""}),
        ("no material", {"ItemNumber": ""}),
    ),
}
"""Set -> kinds of fault, each with what it writes over a record."""


def full_day() -> date:
    """Return the day that times are taken from: posted, so not today."""
    return datetime.now(UTC).date() - timedelta(days=1)


def faulty_day() -> date:
    """Return the day with the planted faults."""
    return full_day() - timedelta(days=1)


def planted(entity_set: str) -> dict[str, str]:
    """Return number of the record, as its key ends in it -> kind of fault."""
    return {str(_number(entity_set, position)): kind for position, kind, _ in _planted(entity_set)}


def origins(entity_set: str) -> dict[str, int]:
    """Return number of each record of the faulty day -> of which record it was made: without fault they are alike."""
    few = len(FullBook().few(entity_set, faulty_day()))
    return {str(_number(entity_set, position)): position % few for position in range(COUNTS[entity_set])}


class FullBook(DynamicsBook):
    """A book whose days are full, and one of them faulty."""

    def few(self, entity_set: str, day: date) -> list[Record]:
        """Return the records that a day would have in the demo plant: each of them is there many times."""
        return super()._generate(entity_set, day)

    def _generate(self, entity_set: str, day: date) -> list[Record]:
        few = self.few(entity_set, day)
        if entity_set not in COUNTS or not few:
            return few
        name, _ = _NUMBERED[entity_set]
        many = [
            record | {name: _number(entity_set, position)}
            for position, record in enumerate(islice(cycle(few), COUNTS[entity_set]))
        ]
        if day == faulty_day():
            for position, _, written in _planted(entity_set):
                many[position] |= written
        return many


def _number(entity_set: str, position: int) -> int | str:
    number = _NUMBERED[entity_set][1] + position
    return f"B{number:08d}" if entity_set == ORDERS else number


def _planted(entity_set: str) -> list[tuple[int, str, Record]]:
    """Return position, kind and what is written of every fault of a set."""
    positions = range(0, COUNTS[entity_set], _EVERY)
    faults = cycle(FAULTS[entity_set]) if entity_set in FAULTS else ()
    return [(position, kind, written) for position, (kind, written) in zip(positions, faults, strict=False)]


def configuration(base: str, folder: Path, **http: Any) -> DynamicsConfig:
    """Return what reads the service at `base`; `http` is laid over its connection's settings."""
    settings = demo_settings(base, folder / "ca" / "ca.pem")
    settings["http"] |= http
    return DynamicsConfig.model_validate(settings)


def serving(folder: Path) -> AbstractContextManager[str]:
    """Return the address of the service in a process of its own; its certificates lie in `folder`."""
    return announced("https", "benchmarks.targets.erp_server", str(folder))


def _serve(folder: Path) -> None:
    issued = CertificateAuthority.create(folder / "ca").issue("erp")
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(128)
        app = create_app(FullBook(), entra=EntraApp())
        config = uvicorn.Config(
            app,
            ssl_certfile=issued.certificate,
            ssl_keyfile=issued.key,
            lifespan="off",
            ws="none",
            log_level="critical",
            date_header=False,
        )
        sys.stdout.write(f"https://127.0.0.1:{door.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[door])


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
