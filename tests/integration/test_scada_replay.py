"""A recording, shown by each protocol's server, is in the window buffer as it was: times, values, repeats and gaps."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from resources.core.clock import to_micros
from resources.core.windows import WindowGrid
from resources.embedded.programs import ServerPrograms
from resources.transport.trust.certificates import CertificateAuthority
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.reader import BufferReader
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import FLOW, PASSWORD, RIGS, TEMPERATURE, Surroundings

ROWS = 60


def _recording() -> list[tuple[int, float]]:
    """Return (time, value): a second apart with some seconds skipped, values that repeat, all exact in float32."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    seconds = [second for second in range(ROWS + 10) if second % 7 != 3][:ROWS]
    return [
        (to_micros(start) + second * 1_000_000, float(np.float32(20 + math.sin(n // 3))))
        for n, second in enumerate(seconds)
    ]


class BufferingRecorder(Recorder):
    """Puts every batch into a window buffer, as the collector does."""

    buffer: WindowBuffer

    async def emit(self, batch: object) -> None:
        self.buffer.append(batch)  # type: ignore[arg-type]
        self.batches.append(batch)  # type: ignore[arg-type]

    async def commit(self) -> None:
        for acknowledge in (await asyncio.to_thread(self.buffer.commit)).acknowledgements:
            acknowledge()


@pytest.mark.parametrize("kind", list(RIGS))
async def test_replay_when_a_recording_is_shown_then_the_buffer_holds_it_row_by_row(
    kind: str,
    tmp_path: Path,
    authority: CertificateAuthority,
    programs: ServerPrograms,
    server_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RIG_PASSWORD", PASSWORD)
    rig = RIGS[kind](Surroundings(tmp_path, authority, programs, server_folder))
    await rig.start()
    recording = _recording()
    try:
        config = rig.config()
        recorder = BufferingRecorder(rig.catalog(config))
        client = rig.build(config, recorder.catalog)
        grid, start = WindowGrid(timedelta(minutes=1)), datetime(2020, 1, 1, tzinfo=UTC)
        recorder.buffer = WindowBuffer(
            tmp_path / "buffer", collector="test", grid=grid, start=start, catalog=recorder.catalog
        )
        async with running(client, recorder) as task:
            for at, value in recording:
                await rig.put(value, at)
                # the Modbus device shows one row at a time; the others queue, so that batches grow
                if kind == "modbus":
                    await until(lambda at=at: sum(row.time_us == at for row in recorder.rows()) == 2, "the row", task)
            last = recording[-1][0]
            await until(lambda: sum(row.time_us == last for row in recorder.rows()) == 2, "the last row", task)
            await recorder.commit()
        recorder.buffer.close_all()
        recorder.buffer.close()
    finally:
        await rig.stop()
    assert _held(tmp_path / "buffer", TEMPERATURE) == recording
    assert _held(tmp_path / "buffer", FLOW) == [(at, 2 * value + 1) for at, value in recording]


def _held(folder: Path, sensor_id: str) -> list[tuple[int, float]]:
    reader, found = BufferReader(folder), []
    first = to_micros(datetime.now(UTC) - timedelta(hours=2))
    for window in sorted(reader.windows(), key=lambda w: w.window_start):
        contents = reader.read(window.window_start)
        names = dict(
            zip(contents.sensors["sensor_key"].to_pylist(), contents.sensors["sensor_id"].to_pylist(), strict=True)
        )
        times = contents.readings["time"].cast("int64").to_pylist()
        rows = zip(
            times, contents.readings["sensor_key"].to_pylist(), contents.readings["value"].to_pylist(), strict=True
        )
        found += [(at, value) for at, key, value in rows if names[key] == sensor_id and at >= first]
    # what a server showed before the recording began is not of it
    return sorted(row for row in found if row[0] <= to_micros(datetime.now(UTC) - timedelta(minutes=30)))
