"""The warm process that runs are forked from: it has imported everything, so a run begins in a fraction of a second.

A fresh run worker spends seconds on imports before it does anything, and a window of one minute has no seconds to
spare. This process has one thread and holds no connection, so that a fork of it is clean. It is started and spoken to
by `gl_assets.run_launcher`, over its standard input and output: a line of JSON asks for a run, a line answers with the
process that executes it. It ends when its standard input does.
"""

import gc
import json
import os
import select
import signal
import sys
from typing import IO, Any

from dagster import DagsterInstance, deserialize_value
from dagster._cli.api import _execute_run_command_body
from dagster._core.instance.ref import InstanceRef
from dagster._utils.interrupts import capture_interrupts

from gl_assets.run_launcher import start_mark
from gl_assets.scada.quality_metadata import quality_plot
from gl_assets.schemas.sensor_readings import SensorReadings

READY = "ready"
"""What the process writes once it can fork."""


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more; each becomes a process of its own."""
    import gl_assets.definitions

    gl_assets.definitions.defs.get_repository_def()
    SensorReadings.validate(
        SensorReadings.empty(), lazy=True
    )  # the first validation prepares pandera for a third of a second
    quality_plot([])  # the first picture loads matplotlib and its fonts, for half a second
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead, so a pid that is there lives
    gc.collect()
    gc.freeze()  # the collector must not touch, and thereby copy, the pages shared with the runs
    _answer(answers, READY)
    while True:
        select.select([requests], [], [])
        line = requests.readline()
        if not line:
            return
        pid = os.fork()
        if pid == 0:
            _become_run(line, requests, answers)
        _answer(answers, {"pid": pid, "started": start_mark(pid)})


def _answer(answers: IO[bytes], value: Any) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


def _become_run(line: bytes, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Execute one run, and end this process."""
    code = 1
    try:
        # the launcher must see the end of the pipe when the warm process dies, not when its last run does
        os.close(requests.fileno())
        os.close(answers.fileno())
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request = json.loads(line)
        code = execute(request["run_id"], deserialize_value(request["instance"], InstanceRef))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def execute(run_id: str, instance_ref: InstanceRef) -> int:
    """Execute a run in this process, as `dagster api execute_run` does; return its exit code."""
    with capture_interrupts(), DagsterInstance.from_ref(instance_ref) as instance:
        return _execute_run_command_body(run_id, instance, lambda event: None, set_exit_code_on_failure=True)


def main() -> None:
    """Serve the launcher on the other end of the pipes."""
    # what runs print goes to the log, not into the answers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(os.fdopen(os.dup(0), "rb", buffering=0), answers)


if __name__ == "__main__":
    main()
