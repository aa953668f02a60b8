"""Files that are replaced as a whole."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from resources.core.process.durable_file import replace_file


@pytest.mark.parametrize(("mode", "bits"), [(0o600, 0o600), (0o644, 0o644), (None, 0o640)])
def test_file_when_replaced_then_whole_readable_by_whom_it_says_and_nothing_is_left_beside(
    tmp_path: Path, mode: int | None, bits: int
) -> None:
    path = tmp_path / "state.json"
    path.write_text("what was there")
    before = os.umask(0o027)
    try:
        replace_file(path, {"version": 1}, mode=mode)
    finally:
        os.umask(before)
    assert json.loads(path.read_text()) == {"version": 1}
    assert stat.S_IMODE(path.stat().st_mode) == bits
    assert list(tmp_path.iterdir()) == [path]


def test_file_when_a_writer_was_killed_half_way_then_the_next_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    (tmp_path / f".words.txt.{os.getpid()}").write_text("hal")
    replace_file(path, "whole\n")
    assert path.read_text() == "whole\n"
    assert list(tmp_path.iterdir()) == [path]


def test_file_when_its_content_cannot_be_written_then_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{}")
    with pytest.raises(TypeError):
        replace_file(path, {"a": object()})
    assert path.read_text() == "{}"
