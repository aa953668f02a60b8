"""How fast the OPC UA connector takes notifications, each durable before it is acknowledged, against bare asyncua.

Both subscribe the same 1,000 nodes of the same server, without security, one after the other. The collector decodes,
buffers, syncs and acknowledges; the other side is asyncua's client with a handler that counts and does nothing else.

The server, in a process of its own, is asyncua's but for one thing: it answers a publish request at once with a value
of every item, encoded by numpy, so that it is not the limit of what is measured: `opcua_server_values_per_s` says how
much it gives to a client that throws its answers away undecoded.
`python -m benchmarks.scada.opcua`
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import ua as opc_ua
from asyncua.client.client import Client
from asyncua.server import binary_server_asyncio
from asyncua.server.server import Server
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary

from benchmarks.scada.collected import collected_per_s
from resources.embedded.ports import free_port

ua: Any = opc_ua
ITEMS = 1_000
SECONDS = 4.0
NAMESPACE = "urn:gl:bench"
_LIMIT_S = 120.0
_EPOCH_TICKS = 116_444_736_000_000_000
_IN_FLIGHT = 3

_ITEM = np.dtype([("handle", "<u4"), ("mask", "u1"), ("kind", "u1"), ("value", "<f8"), ("ticks", "<i8")])
"""MonitoredItemNotification with a Double and a source timestamp."""
_HEAD = struct.Struct("<BBHqIIBihBIiBIqiBBHBii")
"""PublishResponse from its type up to the number of items, with no available sequence numbers and one notification."""


def measure(repeats: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Return `opcua_vs_bare` and the rates behind it, notifications of items a second, medians of runs in turns."""
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as name, _Server() as server:
        for number in range(repeats):
            progress(f"OPC UA: run {number + 1} of {repeats}")
            bare.append(asyncio.run(_bare(server.url)))
            ours.append(asyncio.run(_collected(server.url, Path(name) / f"n{number}")))
        progress("OPC UA: what the server gives")
        given = asyncio.run(_thrown_away(server.url))
    return {
        "opcua_vs_bare": round(statistics.median(ours) / statistics.median(bare), 2),
        "opcua_values_per_s": round(statistics.median(ours)),
        "opcua_bare_values_per_s": round(statistics.median(bare)),
        "opcua_server_values_per_s": round(given),
    }


# -- who reads ---------------------------------------------------------------------------------------------------------


class _Count:
    """A handler that counts."""

    def __init__(self) -> None:
        self.values = 0

    def datachange_notification(self, _node: Any, _value: Any, _data: Any) -> None:
        self.values += 1


async def _bare(url: str) -> float:
    """Return values/s of asyncua's client."""
    count = _Count()
    async with Client(url, timeout=_LIMIT_S) as client:
        index = await client.get_namespace_index(NAMESPACE)
        nodes = [client.get_node(ua.NodeId(f"n{number}", index)) for number in range(ITEMS)]
        subscription = await client.create_subscription(100, count)
        await subscription.subscribe_data_change(nodes)
        async with asyncio.timeout(_LIMIT_S):
            while not count.values:  # a figure is waited for
                await asyncio.sleep(0.001)
        values, began = count.values, time.perf_counter()
        await asyncio.sleep(SECONDS)
        values, seconds = count.values - values, time.perf_counter() - began
    return values / seconds


async def _collected(url: str, home: Path) -> float:
    """Return values/s of the collector; every one is in its buffer, synced to the disk."""
    tags = [{"sensor_id": f"s{n}", "unit": "bar", "node_id": f"nsu={NAMESPACE};s=n{n}"} for n in range(ITEMS)]
    source = {"kind": "opc_ua", "endpoint_url": url, "insecure_no_security": True, "tags": tags}
    return await collected_per_s(source, home, seconds=SECONDS, limit_s=_LIMIT_S)


async def _thrown_away(url: str) -> float:
    """Return values/s of a client that asks, and drops the answers as they come from the wire."""
    answers = 0
    async with Client(url, timeout=_LIMIT_S) as client:
        session: Any = client.uaclient.session
        session.ensure_publish_loop = lambda: None
        index = await client.get_namespace_index(NAMESPACE)
        subscription = await client.create_subscription(100, _Count())
        nodes = [client.get_node(ua.NodeId(f"n{number}", index)) for number in range(ITEMS)]
        await subscription.subscribe_data_change(nodes)

        async def ask() -> None:
            nonlocal answers
            while True:
                await session._send_request(ua.PublishRequest(), timeout=0)
                answers += 1

        began = time.perf_counter()
        asking = [asyncio.create_task(ask()) for _ in range(_IN_FLIGHT)]
        await asyncio.sleep(SECONDS)
        seconds = time.perf_counter() - began
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return answers * ITEMS / seconds


# -- the server, in a process of its own -------------------------------------------------------------------------------


class _Server:
    """Serves until the block ends."""

    def __enter__(self) -> _Server:
        port = free_port()
        self.url = f"opc.tcp://127.0.0.1:{port}/bench"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scada.opcua", "serve", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the OPC UA server did not come up")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=_LIMIT_S)


class _Prompt(UaProcessor):
    """Answers a publish request at once with a value of every item of the session's subscription."""

    _publish = ua.NodeId(ua.ObjectIds.PublishRequest_Encoding_DefaultBinary)
    _sequence = 0
    _items: Any = None

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        if typeid != self._publish:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]
        acknowledged = struct_from_binary(ua.PublishParameters, body).SubscriptionAcknowledgements
        self._answer(requesthdr.RequestHandle, seqhdr.RequestId, len(acknowledged))
        return True

    def _answer(self, handle: int, request: int, acknowledged: int) -> None:
        found = self._subscription()
        if found is None:
            asyncio.get_running_loop().call_later(0.01, self._answer, handle, request, acknowledged)
            return
        items, now = self._items, _EPOCH_TICKS + time.time_ns() // 100
        items["ticks"], items["value"] = now, self._sequence
        self._sequence += 1
        values = items.tobytes()
        head = _HEAD.pack(
            1, 0, 829, now, handle, 0, 0, -1, 0, 0,  # type, header with an empty additional header
            found, 0, 0, self._sequence, now, 1,  # subscription, nothing available, no more, one notification
            1, 0, 811, 1, len(values) + 8, len(items),
        )  # fmt: skip
        tail = struct.pack(f"<ii{acknowledged}Ii", -1, acknowledged, *[0] * acknowledged, -1)
        kind = ua.MessageType.SecureMessage
        self._transport.write(
            self._connection.message_to_binary(head + values + tail, message_type=kind, request_id=request)
        )

    def _subscription(self) -> int | None:
        """Return the subscription's number once it has all its items."""
        session = self.session
        found = self.iserver.subscription_service.subscriptions.values()
        mine = [s for s in found if session is not None and s.session_id == session.session_id]
        monitored = mine[0].monitored_item_srv._monitored_items if mine else {}
        if len(monitored) < ITEMS:
            return None
        if self._items is None:
            self._items = np.zeros(ITEMS, _ITEM)
            self._items["handle"] = [item.client_handle for item in monitored.values()]
            self._items["mask"], self._items["kind"] = 0x05, 11
        return int(mine[0].data.SubscriptionId)


async def _serve(port: int) -> None:
    logging.disable(logging.ERROR)
    vars(binary_server_asyncio)["UaProcessor"] = _Prompt
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    for number in range(ITEMS):
        await server.nodes.objects.add_variable(ua.NodeId(f"n{number}", index), f"n{number}", 0.0)
    await server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(_serve(int(sys.argv[2])))
    else:
        logging.disable(logging.ERROR)
        result = measure(3, lambda step: print(step, file=sys.stderr))  # noqa: T201
        sys.stdout.write(f"{json.dumps(result)}\n")
