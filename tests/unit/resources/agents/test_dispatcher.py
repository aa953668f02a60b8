"""Whether a token whose turn has come is still sent: not if its target has answered, not if it grew old on its way."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from resources.agents.config import AgentsConfig
from resources.agents.orchestration.dispatcher import _OLD_AFTER_S
from resources.agents.orchestration.orchestrator import Orchestrator
from resources.agents.security.keys import generate_keys
from resources.agents.wire.message import Formatter
from resources.core.clock import ManualClock
from tests.agents_support import plain_broker

START = datetime(2026, 11, 22, tzinfo=UTC)


def test_token_when_its_turn_comes_then_it_goes_unless_answered_or_old_and_an_old_one_is_signed_anew(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    jwks = generate_keys(tmp_path, ["GL-001"])
    config = AgentsConfig(broker=plain_broker(1), private_key=tmp_path / "GL-001.jwk", public_keys=jwks)
    orchestrator = Orchestrator(config, site="test", database_url="postgresql://nobody@127.0.0.1:1/none", clock=clock)
    try:
        schedule, dispatcher = orchestrator._desk.schedule, orchestrator._dispatcher
        command = Formatter("GL-001", clock).command("x", {}, targets=["GL-002", "GL-003"], timeout_s=600)
        schedule.add(command, {"GL-002": 0, "GL-003": 0})
        schedule.take_due()
        old_at = clock.monotonic() + _OLD_AFTER_S
        clock.advance(_OLD_AFTER_S - 1)
        assert dispatcher._is_wanted(command.message_id, "GL-002", old_at)
        schedule.close(command.message_id, "GL-002")
        assert not dispatcher._is_wanted(command.message_id, "GL-002", old_at)
        assert schedule.take_due() == []
        clock.advance(1)
        assert not dispatcher._is_wanted(command.message_id, "GL-003", old_at)
        assert [sending.agents for sending in schedule.take_due()] == [("GL-003",)]
    finally:
        orchestrator.discard()
