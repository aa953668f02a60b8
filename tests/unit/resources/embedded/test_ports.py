from __future__ import annotations

import socket
from pathlib import Path

import pytest

from resources.embedded import ports
from resources.embedded.ports import free_port, is_free, remembered_port


def test_free_port_when_asked_again_and_again_then_none_is_one_that_outgoing_connections_take() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    found = [free_port() for _ in range(200)]
    assert [port for port in found if first <= port <= last or port < 1024] == []
    assert len(set(found)) > 150


def test_free_port_when_all_that_it_tries_are_taken_then_the_system_gives_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(ports, "_ports_of_servers", lambda _: range(taken, taken + 1))
        port = free_port()
        assert port != taken
        assert is_free(port)
        assert not is_free(taken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("32768\t60999\n", range(10_240, 32_768)),
        ("1024\t60999\n", range(61_000, 65_536)),
        ("nothing of the kind", range(10_240, 32_768)),
        (None, range(10_240, 32_768)),
    ],
)
def test_ports_of_servers_when_the_system_says_its_range_then_they_lie_outside(
    tmp_path: Path, text: str | None, expected: range
) -> None:
    if text is not None:
        (tmp_path / "range").write_text(text)
    assert ports._ports_of_servers(tmp_path / "range") == expected


def test_remembered_port_when_it_is_still_free_then_it_is_given_again(tmp_path: Path) -> None:
    port = remembered_port(tmp_path / "port")
    assert remembered_port(tmp_path / "port") == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert remembered_port(tmp_path / "port") != port
    assert remembered_port(tmp_path / "port", wanted=12_345) == 12_345
