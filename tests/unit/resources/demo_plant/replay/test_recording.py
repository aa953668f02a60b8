from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resources.core.errors import ConfigError
from resources.demo_plant.replay.players import ModbusPlayer
from resources.demo_plant.replay.record import main as record_main
from resources.demo_plant.replay.recording import Recording, read_recording
from resources.demo_plant.servers.modbus import ModbusEndpoint

GOOD = "datetime;Volume Flow RateRMS;Pressure;other\n2020-02-08 13:30:47;122.664;-0.27;0.0\n2020-02-08 13:30:50;122.664;0.38;1\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "recording.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_read_recording_when_well_formed_then_times_are_utc_and_values_exact(tmp_path: Path) -> None:
    recording = read_recording(written(tmp_path, GOOD))
    assert recording.times_us.tolist() == [1_581_168_647_000_000, 1_581_168_650_000_000]
    assert recording.values.tolist() == [[122.664, -0.27, 0.0], [122.664, 0.38, 1.0]]
    assert recording.sensor_ids("bench") == ("bench.Volume_Flow_RateRMS", "bench.Pressure", "bench.other")
    assert recording.units() == ("l/min", "bar", "1")


def test_read_recording_when_limited_then_has_the_first_rows(tmp_path: Path) -> None:
    assert len(read_recording(written(tmp_path, GOOD), rows=1)) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "needs a header"),
        ("time;a\n2020-02-08 13:30:47;1\n", "needs a header"),
        ("datetime;a\n", "at least one row"),
        ("datetime;a\n2020-02-08 13:30:47;1;2\n", "recording.csv:2: 3 cells"),
        ("datetime;a\nyesterday;1\n", "recording.csv:2"),
        ("datetime;a\n2020-02-08 13:30:47;\n", "recording.csv:2"),
        ("datetime;a\n2020-02-08 13:30:47;nan\n", "NaN or infinity"),
        ("datetime;a\n2020-02-08 13:30:47;1\n2020-02-08 13:30:47;1\n", "recording.csv:3: its time is not after"),
    ],
    ids=["empty", "header", "no rows", "cells", "time", "value", "nan", "order"],
)
def test_read_recording_when_malformed_then_names_the_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_recording(written(tmp_path, text))


def test_read_recording_when_there_is_no_file_then_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recording(tmp_path / "none.csv")


def test_record_when_called_then_writes_a_recording(tmp_path: Path) -> None:
    assert record_main([str(tmp_path / "made.csv"), "--rows", "10", "--seed", "2"]) == 0
    assert len(read_recording(tmp_path / "made.csv")) == 10


async def test_modbus_player_when_there_are_too_many_columns_then_says_what_to_do() -> None:
    wide = Recording(tuple(f"c{n}" for n in range(61)), np.zeros(1, np.int64), np.zeros((1, 61)))
    with pytest.raises(ConfigError, match="61 columns"):
        ModbusPlayer(wide, ModbusEndpoint("127.0.0.1", 1))
