"""What `gl agents watch` shows of one look, and which changes it tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console

from gl_assets.cli.coordination.agent_watch import Look, changes, view
from resources.agents.members.agent_list import ListedAgent, RecentCommand

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)


def agent(
    agent_id: str, status: str = "online", *, score: float | None = None, reason: str | None = None
) -> ListedAgent:
    heard = None if reason == "never heard of" else NOW - timedelta(seconds=12)
    return ListedAgent(agent_id, f"[red]{agent_id}\x1b[2J", "boiler", ["heat"], status, heard, score, False, reason)


def shown(look: Look, height: int = 25, width: int = 120) -> str:
    console = Console(width=width)
    with console.capture() as printed:
        console.print(view(look, height))
    return printed.get()


def test_view_when_some_need_attention_then_they_stand_first_and_the_rest_is_counted() -> None:
    many = [agent(f"GL-{n:03d}", score=n / 100) for n in range(10, 60)]
    unwell = [
        agent("GL-098", "degraded", reason="it says maintenance"),
        agent("GL-099", "offline", reason="never heard of"),
    ]
    text = shown(Look(NOW, [*many, *unwell], ()), height=12)
    lines = [line.split()[0] for line in text.splitlines() if line.startswith("GL-")]
    assert lines == ["GL-099", "GL-098", "GL-010", "GL-011", "GL-012"]
    assert "52 agents:  50 online  1 degraded  1 offline" in text
    assert "… and 47 more: 47 online" in text
    assert "it says maintenance" in text


def test_view_when_an_agent_chose_odd_letters_then_they_are_shown_and_steer_nothing() -> None:
    text = shown(Look(NOW, [agent("GL-002")], ()))
    assert "[red]GL-002" in text
    assert "\x1b" not in text


def test_view_when_commands_were_sent_then_how_far_they_are() -> None:
    commands = [
        RecentCommand("1", "optimize", NOW, "accepted", 99, 42, 57, 812.4),
        RecentCommand("2", "status", NOW, "done", 2, 0, 0, None),
    ]
    text = shown(Look(NOW, [agent("GL-002")], commands))
    assert "42 of 99" in text
    assert "812" in text
    assert "0 of 2" in text


def test_view_when_the_terminal_is_narrow_then_the_id_that_cancels_a_command_stands_there_whole() -> None:
    message_id = "01932c07-20a9-7c6c-8000-000000000001"
    commands = [RecentCommand(message_id, "optimize", NOW, "accepted", 99, 42, 57, 812.4)]
    assert message_id in shown(Look(NOW, [agent("GL-002")], commands), width=80)


def test_changes_when_agents_come_change_and_go_then_one_line_each() -> None:
    before = [agent("GL-002"), agent("GL-003"), agent("GL-004")]
    now = [agent("GL-002"), agent("GL-003", "degraded", reason="it says maintenance"), agent("GL-005")]
    assert [(line["agent_id"], line["was"], line["status"]) for line in changes(before, now)] == [
        ("GL-003", "online", "degraded"),
        ("GL-005", None, "online"),
        ("GL-004", "online", None),
    ]
    assert list(changes(now, now)) == []
