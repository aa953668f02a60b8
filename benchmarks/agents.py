"""`gl bench agents`: one signed command to 99 agents, answered and stored, over a bare paho round trip to 99 clients.

Both go through the same Mosquitto in the same run, agents in a process of their own. The signed side counts everything:
the command's commit, signing, verification, the agents' durable stores, and the commit of the last answer.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import psycopg
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from resources.agents.broadcaster import Broadcaster
from resources.agents.config import AgentsConfig
from resources.agents.keys import generate_keys
from resources.agents.requests import Command
from resources.core.errors import PlatformError
from resources.databases.timescale.migrate import migrate
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import find_programs
from resources.transport.broker import BrokerConfig

TARGETS = tuple(f"GL-{n:03d}" for n in range(2, 101))
TARGET_RATIO = 2.5
"""Most that signing, storing and both commits may cost, as a multiple of the bare round trip's p99."""

_READY_S = 60.0
_SITE = "bench"


def run(progress: Callable[[str], None], *, broadcasts: int = 50) -> dict[str, Any]:
    """Return fan-out latencies in milliseconds and their ratio to the bare round trip."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        programs = find_programs(progress)
        broker = EmbeddedBroker(folder / "broker", programs, BrokerOptions(insecure_anonymous=True))
        database = EmbeddedPostgres(folder / "postgres", programs)
        progress("starting a broker and a database")
        broker.start()
        database.start()
        try:
            progress(f"{broadcasts} bare round trips to {len(TARGETS)} clients")
            bare = _bare(broker.port, broadcasts)
            progress(f"{broadcasts} signed and stored commands to {len(TARGETS)} agents")
            signed = _signed(folder, broker.port, _database(database), broadcasts)
        finally:
            database.stop()
            broker.stop()
    ratio = round(_percentile(signed, 99) / _percentile(bare, 99), 2)
    return {
        "agents": len(TARGETS),
        "broadcasts": broadcasts,
        "bare_ms": {"p50": _percentile(bare, 50), "p99": _percentile(bare, 99)},
        "fanout_ms": {"p50": _percentile(signed, 50), "p99": _percentile(signed, 99)},
        "fanout_vs_bare": ratio,
        "fanout_vs_bare_p50": round(_percentile(signed, 50) / _percentile(bare, 50), 2),
        "targets": {"fanout_vs_bare": TARGET_RATIO},
        "passed": ratio <= TARGET_RATIO,
    }


def _percentile(values: list[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 1)


def _database(server: EmbeddedPostgres) -> str:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench_agents")
    migrate(server.url("bench_agents"))
    return server.url("bench_agents")


def _signed(folder: Path, port: int, url: str, broadcasts: int) -> list[float]:
    keys = folder / "keys"
    jwks = generate_keys(keys, ["GL-001", *TARGETS])
    broker = BrokerConfig(host="127.0.0.1", port=port, tls=False, insecure_plain_tcp=True)
    config = AgentsConfig(broker=broker, private_key=keys / "GL-001.jwk", public_keys=jwks, targets=TARGETS)
    file = folder / "integrations.yaml"
    file.write_text(yaml.safe_dump({"site": _SITE, "agents": config.model_dump(mode="json")}))
    command = [sys.executable, "-m", "resources.demo_plant.agents", "--config", str(file), "--keys", str(keys)]
    with (
        Broadcaster(config, site=_SITE, database_url=url) as broadcaster,
        _child([*command, "--home", str(folder / "agents")]),
    ):
        _until_online(url)
        return [_broadcast(broadcaster) for _ in range(broadcasts + 5)][5:]


def _broadcast(broadcaster: Broadcaster) -> float:
    begun = time.perf_counter()
    outcome = broadcaster.broadcast(Command("optimize", {"objective": "efficiency"}, TARGETS, 30.0))
    spent = (time.perf_counter() - begun) * 1000
    if outcome.answered != len(TARGETS):
        raise PlatformError(f"only {outcome.answered} of {len(TARGETS)} agents answered: the figure would mean nothing")
    return spent


def _until_online(url: str) -> None:
    ends = time.monotonic() + _READY_S
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM agents.registry").fetchone() != (len(TARGETS),):
            if time.monotonic() > ends:
                raise PlatformError("the agents did not come online")
            time.sleep(0.05)


@contextmanager
def _child(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def _bare(port: int, broadcasts: int) -> list[float]:
    """Return the milliseconds from the first publish to the last echo, for each round."""
    with _child([sys.executable, "-m", "benchmarks.agents", str(port)]) as echo:
        assert echo.stdout is not None
        echo.stdout.readline()
        answers, complete = [0], threading.Event()

        def hear(*_: Any) -> None:
            answers[0] += 1
            if answers[0] == len(TARGETS):
                complete.set()

        client = _client(port, "bare/+/response", hear)
        payload = b"x" * 700
        found = []
        for _ in range(broadcasts + 5):
            answers[0] = 0
            complete.clear()
            begun = time.perf_counter()
            for agent in TARGETS:
                client.publish(f"bare/{agent}/command", payload, qos=1)
            if not complete.wait(_READY_S):
                raise PlatformError("the bare clients did not all answer")
            found.append((time.perf_counter() - begun) * 1000)
        client.disconnect()
        client.loop_stop()
    return found[5:]


def _client(port: int, topic: str, hear: Callable[..., None]) -> paho.Client:
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_socket_open = _without_delay
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = hear
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(topic, qos=1)
    subscribed.wait(_READY_S)
    return client


def _without_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _echo(port: int) -> None:
    """Answer every command with as many bytes, 99 clients in this process, until terminated."""

    def answer(client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        client.publish(message.topic.replace("command", "response"), message.payload, qos=1)

    clients = [_client(port, f"bare/{agent}/command", answer) for agent in TARGETS]
    sys.stdout.write(f"{len(clients)} ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    _echo(int(sys.argv[1]))
