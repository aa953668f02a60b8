"""A server of pre-rendered pages in the form of Dynamics, for `gl bench erp`: `python -m benchmarks.erp.server`.

It does as little as a server can, so that it is no limit: pages lie in memory, only the link to the next one is
written when it is asked for. A set is named by what it does: `Delayed100` has 100 pages and waits 100 ms before each,
`Direct10` has 10 and waits for nothing. Tokens are given to everybody and live for TOKEN_LIFE_S; reads need none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import uvicorn

PAGE = 1_000
"""Records of a page."""
DELAY_S = 0.1
TOKEN_LIFE_S = 5
"""Short, so that a pull of ten seconds needs more than one."""
DAY = date(2026, 11, 20)
_SET = re.compile(r"/data/(Delayed|Direct)(\d+)")
_TOKEN = re.compile(rb"skiptoken=(\d+)")


def page(number: int) -> bytes:
    """Return the records of a page, a JSON array of posted entries."""
    return b"[" + b",".join(_record(number * PAGE + n) for n in range(PAGE)) + b"]"


def _record(number: int) -> bytes:
    amount = (number * 7919 % 1_000_000) / 100
    return (
        f'{{"@odata.etag":"W/\\"{number:08x}\\"","dataAreaId":"usmf","GeneralJournalAccountEntryRecId":{number},'
        f'"JournalNumber":"J{number // 20:07d}","Voucher":"V{number // 20:07d}",'
        f'"LedgerAccount":"{601000 + number % 40}-001-OPS-{1100 + number % 9}","AccountingDate":"{DAY}T12:00:00Z",'
        f'"TransactionCurrencyAmount":{amount},"TransactionCurrencyCode":"USD","AccountingCurrencyAmount":{amount},'
        f'"IsCredit":"No","PostingType":"LedgerJournal","PostingLayer":"Current",'
        f'"Description":"Energy of hour {number} of line {number % 17}","DocumentNumber":"","Quantity":{number % 500}}}'
    ).encode()


class Application:
    """The ASGI application, and what it counted."""

    def __init__(self, pages: int, base: str) -> None:
        """Render as many pages; `base` is where they are asked for."""
        self._pages = [page(number) for number in range(pages)]
        self._base = base
        self.reset()

    def reset(self) -> None:
        """Count from nothing."""
        self._requests = self._tokens = 0
        self._connections: set[tuple[str, int]] = set()

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        assert scope["type"] == "http"
        path, query = scope["path"], scope["query_string"]
        if path == "/stats":
            body = {"requests": self._requests, "tokens": self._tokens, "connections": len(self._connections)}
            self.reset()
            await _answer(send, [json.dumps(body).encode()])
        elif path.endswith("/token"):
            self._count(scope)
            self._tokens += 1
            token = {"token_type": "Bearer", "expires_in": TOKEN_LIFE_S, "access_token": f"bench-{self._tokens}"}
            await _answer(send, [json.dumps(token).encode()])
        elif found := _SET.fullmatch(path):
            self._count(scope)
            if found.group(1) == "Delayed":
                await asyncio.sleep(DELAY_S)
            await _answer(send, self._page(path, int(found.group(2)), query))
        else:
            await _answer(send, [b"{}"], 404)

    def _count(self, scope: Mapping[str, Any]) -> None:
        self._requests += 1
        self._connections.add(tuple(scope["client"]))

    def _page(self, path: str, pages: int, query: bytes) -> list[bytes]:
        token = _TOKEN.search(query)
        number = int(token.group(1)) if token else 0
        following = f',"@odata.nextLink":"{self._base}{path}?$skiptoken={number + 1}"'.encode()
        return [
            f'{{"@odata.context":"{self._base}/data/$metadata","@odata.count":{pages * PAGE},"value":'.encode(),
            self._pages[number],
            (following if number + 1 < pages else b"") + b"}",
        ]


async def _answer(send: Any, parts: list[bytes], status: int = 200) -> None:
    length = str(sum(map(len, parts))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for number, part in enumerate(parts, 1):
        await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})


class BenchServer:
    """A running server, by its address."""

    def __init__(self, base: str, pages: int) -> None:
        """Ask it at `base`."""
        self.base, self.pages = base, pages

    def address(self, entity_set: str) -> str:
        """Return the address of the first page of a set."""
        return f"{self.base}/data/{entity_set}"

    def stats(self) -> dict[str, int]:
        """Return what it counted since the last time: requests, tokens, connections."""
        found: dict[str, int] = httpx.get(f"{self.base}/stats").json()
        return found


@contextmanager
def serving(pages: int) -> Iterator[BenchServer]:
    """Yield a server in a process of its own."""
    with announced("http", "benchmarks.erp.server", str(pages)) as base:
        yield BenchServer(base, pages)


@contextmanager
def announced(scheme: str, module: str, *arguments: str) -> Iterator[str]:
    """Yield the address, of this scheme, that a module says in its first line; it runs in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    folder = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if not said.startswith(scheme):
                raise RuntimeError(f"{module} did not come up")
            yield said.strip()
        finally:
            process.terminate()


def main() -> None:
    """Serve until told to end; the first line of stdout is the address."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", type=int)
    pages = parser.parse_args().pages
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{door.getsockname()[1]}"
        app = Application(pages, base)
        door.listen(128)
        sys.stdout.write(base + "\n")
        sys.stdout.flush()
        # access logs and lifespan would cost time that no one asked for
        config = uvicorn.Config(app, lifespan="off", ws="none", log_level="critical", access_log=False)
        uvicorn.Server(config).run(sockets=[door])


if __name__ == "__main__":
    main()
