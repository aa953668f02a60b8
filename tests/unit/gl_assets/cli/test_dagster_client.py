"""The client of Dagster's GraphQL against a real webserver over definitions of three small jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from gl_assets.cli.running.dagster_client import DagsterClient, FailedRunsError
from gl_assets.cli.running.launched_runs import LaunchedRuns
from resources.core.errors import PlatformError, UnreachableError
from resources.embedded.ports import free_port
from tests.integration.store_builders import until

DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c"]), backfill_policy=dg.BackfillPolicy.single_run())
def rows(context) -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"keys": context.partition_keys})


@dg.asset_check(asset=rows)
def rows_are_there():
    return dg.AssetCheckResult(passed=True)


@dg.asset_check(asset=rows)
def rows_are_right():
    return dg.AssetCheckResult(passed=False)


class Answer(dg.Config):
    number: int


@dg.op
def answer(config: Answer):
    assert config.number == 42


@dg.job
def answer_job():
    answer()


@dg.op
def come_again():
    came = Path(__file__).with_name("came")
    if not came.exists():
        came.touch()
        raise RuntimeError("come again")


@dg.job
def second_time_job():
    come_again()


rows_job = dg.define_asset_job("rows_job", selection=dg.AssetSelection.assets(rows))
defs = dg.Definitions(assets=[rows], asset_checks=[rows_are_there, rows_are_right], jobs=[answer_job, rows_job, second_time_job])
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A webserver with storage of its own; runs are processes that it starts."""
    folder: Path = tmp_path_factory.mktemp("dagster")
    (folder / "small.py").write_text(DEFINITIONS)
    (folder / "dagster.yaml").write_text(
        "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\ntelemetry: {enabled: false}\n"
    )
    (folder / "workspace.yaml").write_text("load_from: [{python_file: {relative_path: small.py, location_name: gl}}]\n")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "dagster_webserver", "-w", "workspace.yaml", "-p", str(port)],
        cwd=folder,
        env={**os.environ, "DAGSTER_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or _is_up(address), 180)
        assert process.poll() is None
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/server_info", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def client(url: str) -> Iterator[DagsterClient]:
    with DagsterClient(url) as opened:
        yield opened


def test_launch_when_the_job_is_there_then_the_run_ends_and_checks_are_counted(client: DagsterClient):
    assert client.checks() == {"passed": 0, "failed": 0}
    first = client.launch("rows_job", partitions=("a", "c"))
    second = client.launch("answer_job", config={"ops": {"answer": {"config": {"number": 42}}}})
    assert not client.is_idle("rows_job")
    assert {one.partition(":")[0] for one in client.unfinished([first, second])} <= {"rows_job", "answer_job"}
    until(lambda: not client.unfinished([first, second]), 600)
    assert client.is_idle("rows_job")
    assert client.checks() == {"passed": 1, "failed": 1}


def test_unfinished_when_a_run_fails_then_it_is_named(client: DagsterClient):
    run = client.launch("answer_job", config={"ops": {"answer": {"config": {"number": 41}}}})

    with pytest.raises(PlatformError, match=rf"runs that failed: answer_job \({run}\): step answer: AssertionError"):
        until(lambda: not client.unfinished([run]), 600)


def test_launched_runs_when_one_fails_then_it_is_launched_once_more_and_a_second_failure_counts(client: DagsterClient):
    said: list[str] = []
    wrong = {"ops": {"answer": {"config": {"number": 41}}}}
    runs = LaunchedRuns(client, [lambda dagster: dagster.launch("second_time_job")], said.append)
    until(lambda: not runs.unfinished(), 600)
    assert [words.partition(": ")[0] for words in said] == ["runs that failed"]
    assert "second_time_job" in said[0]
    assert "step come_again: RuntimeError: come again" in said[0]

    runs = LaunchedRuns(client, [lambda dagster: dagster.launch("answer_job", config=wrong)], said.append)
    with pytest.raises(FailedRunsError, match="answer_job"):
        until(lambda: not runs.unfinished(), 600)
    assert len(said) == 2


@pytest.mark.parametrize(
    ("job", "config", "said"),
    [("no_such_job", {}, "did not launch no_such_job"), ("answer_job", {"ops": {}}, "did not launch answer_job")],
    ids=["unknown", "wrong-config"],
)
def test_launch_when_dagster_refuses_then_its_words_are_in_the_message(
    client: DagsterClient, job: str, config: dict[str, object], said: str
):
    with pytest.raises(PlatformError, match=said):
        client.launch(job, config=config)


def test_unfinished_when_dagster_does_not_know_the_run_then_it_says_so_instead_of_waiting(client: DagsterClient):
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(PlatformError, match=f"does not know the runs {unknown}"):
        client.unfinished([unknown])


def test_client_when_a_query_is_wrong_then_the_first_error_is_told(client: DagsterClient):
    with pytest.raises(PlatformError, match="Dagster refused a query"):
        client._ask("query { nothingOfTheKind }", {})


def test_client_when_nothing_answers_then_it_says_where_to_look():
    with (
        DagsterClient(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(UnreachableError, match=r"logs/dagster-webserver\.log"),
    ):
        client.checks()


class _Proxy(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(502)
        self.end_headers()
        self.wfile.write(b"bad gateway")

    def log_message(self, *_: object) -> None:
        pass


def test_client_when_something_else_answers_then_it_says_with_what():
    with HTTPServer(("127.0.0.1", 0), _Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with (
            DagsterClient(f"http://127.0.0.1:{server.server_port}") as client,
            pytest.raises(PlatformError, match="answered 502 without JSON"),
        ):
            client.checks()
        server.shutdown()
        thread.join(10)
