"""The whole platform as a user runs it: the same processes as `gl up --demo`, with loss and duplication counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gl_assets.erp.tables import TABLES
from resources.embedded.programs import ServerPrograms

pytestmark = [pytest.mark.slow, pytest.mark.platform, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # not in pytest's own folder, which is closed to the user that the servers run as
    with tempfile.TemporaryDirectory(prefix="gl-demo-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def result(home: Path, programs: ServerPrograms) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if name not in ("GL_CONFIG", "GL_DATABASE_URL")}
    done = subprocess.run(
        [sys.executable, "-m", "gl_assets.cli.main", "demo", "--for", "60", "--json", "--keep"],
        env={**environment, "GL_HOME": str(home)}, capture_output=True, text=True, check=False, timeout=2300,
    )  # fmt: skip
    logs = "".join(f"\n--- {log.name}\n{log.read_text()[-3000:]}" for log in (home / "demo-run" / "logs").glob("*.log"))
    # what the command said comes last: the end of a long message is what people see
    assert done.returncode == 0, f"{logs}\n--- gl demo\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def test_demo_when_it_ends_nothing_is_lost_or_doubled(result):
    assert (result["lost"], result["duplicated"]) == (0, 0)
    assert result["sent"] == result["stored"] + result["rejected"] + result["deduplicated"] + result["in_gaps"]


def test_demo_when_it_ends_every_source_has_sent(result):
    assert {name: source["kind"] for name, source in result["sources"].items()} == {
        "boiler_house": "opc_ua", "furnace_plc": "modbus", "heat_recovery_plc": "modbus", "utility_meters": "mqtt",
    }  # fmt: skip
    assert all(source["stored"] > 0 for source in result["sources"].values())


def test_demo_when_it_ends_all_agents_have_answered_and_all_checks_passed(result):
    assert (result["agents"]["targeted"], result["agents"]["answered"]) == (99, 99)
    assert result["checks"]["failed"] == 0
    assert result["checks"]["passed"] >= 10


def test_demo_when_it_ends_the_erp_days_are_stored(result):
    assert set(result["erp_rows"]) == {f"erp/{table}" for table in TABLES}


def test_demo_when_it_ends_no_process_is_left(result, home: Path):
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(home).encode() in _read(path)]
    assert left == []


def test_demo_when_it_ends_no_secret_stands_in_a_log(result, home: Path):
    secrets = [
        line.split("=", 1)[1].strip()
        for line in (home / "demo-run" / "demo" / "secrets.env").read_text().splitlines()
        if "=" in line
    ]
    secrets.append((home / "demo-run" / "postgres" / "password").read_text().strip())
    for log in (home / "demo-run" / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert not [secret[:4] for secret in secrets if secret in text], log.name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
