"""`python -m tests.faults.agent_process`: one agent in a process of its own, which kills itself where it is told to.

Arguments: folder of a test's site, port of the broker, agent id, and when to die:

- `begun`: the command is recorded as started and acknowledged, its handler was not called;
- `handler`: at the end of the handler, before its answer is recorded;
- `stored`: the answer is durable, and was not sent;
- `published`: an event is accepted, and no broker was ever there;
- `event`: in the middle of an event's handler.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from resources.agents.agent import Agent, AgentSettings
from resources.agents.sdk.offers import Offers
from resources.agents.sdk.voice import Voice
from resources.agents.seen_store import SeenStore
from resources.transport.broker import BrokerConfig


def die(*_: Any) -> Any:
    """End as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def note(folder: Path, text: str) -> None:
    """Append a line to what was executed, durably."""
    with (folder / "executed.log").open("a") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())


def main(folder: Path, port: int, agent_id: str, when: str) -> None:
    """Run the agent until it dies."""
    keys = folder / "keys"
    broker = BrokerConfig(host="127.0.0.1", port=port, tls=False, insecure_plain_tcp=True)
    # not of tests.agents_support: its imports take longer than the agent's life
    settings = AgentSettings("test", broker, keys / f"{agent_id}.jwk", keys / "public-keys.jwks", agent_id, "boiler")
    agent = Agent(settings, SeenStore(folder / f"{agent_id}.sqlite"))

    @agent.command("count")
    def count(_args: dict[str, Any], call: Any) -> None:
        note(folder, f"{agent_id} {call.message_id}")
        if when == "handler":
            die()

    @agent.event("emergency")
    def emergency(_payload: Any, event: Any) -> None:
        note(folder, f"{agent_id} {event.message_id}")
        if when == "event":
            die()

    if when == "begun":
        Offers.run = die  # type: ignore[method-assign,assignment]
    elif when == "stored":
        Voice.respond_signed = die  # type: ignore[method-assign,assignment]
    elif when == "published":
        agent.publish("system_status", {"state": "tripped"})
        die()
    agent.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
