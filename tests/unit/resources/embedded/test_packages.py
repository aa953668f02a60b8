from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from resources.core.errors import ConfigError, PlatformError, UnreachableError
from resources.embedded import packages, programs


def _sources(folder: Path, name: str, text: str) -> Path:
    (folder / "sources.list.d").mkdir(exist_ok=True)
    target = folder / name
    target.write_text(text)
    return folder


DEB822 = """Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sources.list.d/debian.sources", DEB822, "http://mirror.example/debian"),
        (
            "sources.list",
            "# deb http://no.example x main\ndeb http://a.example/debian bookworm main contrib\n",
            "http://a.example/debian",
        ),
        (
            "sources.list",
            "deb [arch=amd64 signed-by=/k] http://b.example/debian trixie main\n",
            "http://b.example/debian",
        ),
        ("sources.list", "deb http://s.example/debian-security bookworm-security main\n", None),
        ("sources.list", "", None),
    ],
    ids=["deb822", "one-line", "options", "security-only", "empty"],
)
def test_debian_mirror_when_sources_are_written_so_finds(tmp_path: Path, name: str, text: str, expected: str | None):
    assert packages.debian_mirror(_sources(tmp_path, name, text)) == expected


def test_unpack_when_complete_returns_at_once(programs: programs.ServerPrograms):
    said: list[str] = []
    assert packages.unpack(programs.bin_dir.parent, said.append) == programs.bin_dir
    assert said == []


def test_manifest_when_unpacked_names_every_package_with_its_hash(programs: programs.ServerPrograms):
    manifest = json.loads((programs.bin_dir.parent / ".complete.json").read_text())
    assert len(manifest["sha256"]) == len(packages.PACKAGES)
    assert all(len(digest) == 64 for digest in manifest["sha256"].values())


def test_unpack_when_half_done_starts_over_and_two_at_once_do_it_once(tmp_path: Path):
    prefix = tmp_path / "servers"
    (prefix / "bin").mkdir(parents=True)
    (tmp_path / "servers.tmp.old").mkdir()
    said: list[str] = []
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(packages.unpack(prefix, said.append))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [prefix / "bin"] * 2
    assert sum("downloading" in line for line in said) == 1
    assert not list(tmp_path.glob("servers.tmp.*"))


def test_unpack_when_the_mirror_is_down_says_what_to_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(packages, "debian_mirror", lambda: "http://127.0.0.1:9/debian")
    with pytest.raises(UnreachableError, match="GL_DATABASE_URL"):
        packages.unpack(tmp_path / "servers", lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["servers.lock"]


def test_check_when_a_library_is_missing_in_the_folder_refuses(programs: programs.ServerPrograms, tmp_path: Path):
    original = programs.bin_dir.parent / "usr"
    libraries = next(path for path in (original / "lib").iterdir() if path.name.endswith("-linux-gnu"))
    (tmp_path / "usr" / "lib" / libraries.name).mkdir(parents=True)
    for library in libraries.iterdir():
        if "libxxhash" not in library.name:
            (tmp_path / "usr" / "lib" / libraries.name / library.name).symlink_to(library)
    (tmp_path / "usr" / "lib" / "postgresql").symlink_to(original / "lib" / "postgresql")
    (tmp_path / "usr" / "sbin").symlink_to(original / "sbin")
    with pytest.raises(PlatformError, match=r"libraries outside .*libxxhash"):
        packages._check_libraries(tmp_path)


def test_find_programs_when_no_wheel_exists_names_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="GL_DATABASE_URL"):
        programs.find_programs(print, wheels=True)


def test_servers_home_when_not_named_lies_in_gl_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("GL_SERVERS_HOME", raising=False)
    monkeypatch.setenv("GL_HOME", str(tmp_path))
    assert programs.servers_home() == tmp_path / "servers"
