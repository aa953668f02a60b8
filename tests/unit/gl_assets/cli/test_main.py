from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

from gl_assets.cli.main import COMMANDS, cli


def test_help_when_asked_lists_every_command_with_what_it_does():
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert name in result.output
        assert text.split()[0] in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_command_when_imported_explains_itself_and_its_options(name: str):
    module, _, attribute = COMMANDS[name][0].partition(":")
    assert getattr(importlib.import_module(module), attribute).help
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_command_when_unknown_is_refused():
    assert CliRunner().invoke(cli, ["fly"]).exit_code == 2


def test_main_when_the_platform_fails_prints_one_line_and_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "gl_assets.cli.main", "config", "check", "missing.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: missing.yaml: cannot be read")
    assert "Traceback" not in done.stderr


def test_help_when_asked_imports_no_dagster():
    code = "import sys; from gl_assets.cli.main import cli; cli(['--help'], standalone_mode=False); assert 'dagster' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
