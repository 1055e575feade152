"""The SDK on a federation of processes, and the first example of docs/sdk.md."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flwr.sdk import (
    LinkClosedError,
    RunFailedError,
    RunNotEndedError,
    RunStatus,
    RunStoppedError,
    SuperLink,
    UnavailableError,
)
from tests.harness.apps import TINY
from tests.harness.federation import Federation
from tests.harness.pages import Page
from tests.harness.ports import free_address

QUICK: dict[str, Any] = {"num-rounds": 1, "evaluate": False}
WAITING: dict[str, Any] = {"fail": "server-waits"}


@pytest.fixture
def link(
    running: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SuperLink]:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    with SuperLink.connect(running.control, root_certificates=running.ca) as opened:
        yield opened


@pytest.mark.row("S57", "S58", "S59")
def test_the_page_s_example_runs_as_it_is_written(
    running: Federation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(TINY, tmp_path / "my-app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(running.ca, tmp_path / "ca.crt")
    monkeypatch.chdir(tmp_path)

    names = Page("sdk.md").run(0, {"localhost:9093": running.control})

    result = names["result"]
    assert result.info.status is RunStatus.COMPLETED
    assert result.info.bytes_to_nodes > 0
    assert result.artifacts is None
    said = capsys.readouterr().out
    assert "model digest: " in said
    assert "model digest: " in result.log
    assert result.log.strip() in said, "following shows the same log as reading it afterwards"
    assert names["run"].run_id == result.info.run_id


@pytest.mark.row("S56")
def test_submitting_is_quick_and_the_same_key_is_the_same_run(link: SuperLink) -> None:
    first = link.submit(TINY, run_config=QUICK, submit_key="sdk-17")
    again = link.submit(TINY, run_config=QUICK, submit_key="sdk-17")
    other = link.submit(TINY, run_config=WAITING, submit_key="sdk-18")

    assert first.run_id == again.run_id != other.run_id
    assert other.status in {RunStatus.PENDING, RunStatus.STARTING, RunStatus.RUNNING}
    assert first.wait(120).status is RunStatus.COMPLETED
    other.stop()
    assert {first.run_id, other.run_id} <= {info.run_id for info in link.runs()}


@pytest.mark.row("S57", "S62", "S63")
def test_a_live_run_is_read_waited_for_in_vain_and_stopped(link: SuperLink) -> None:
    run = link.submit(TINY, run_config=WAITING)
    for line in run.logs(follow=True, timeout=120):
        if line == "server waits":
            break

    assert run.status is RunStatus.RUNNING
    assert "server waits" in list(run.logs())
    with pytest.raises(RunNotEndedError):
        run.wait(timeout=0.3)

    stopped = threading.Timer(0.5, run.stop)
    stopped.start()
    with pytest.raises(RunStoppedError) as end:
        run.result(timeout=120)  # the app would wait for 600
    stopped.join()
    assert end.value.status is RunStatus.STOPPED


@pytest.mark.row("S57")
def test_a_failed_run_raises_its_cause(link: SuperLink) -> None:
    run = link.submit(TINY, run_config={"fail": "server-raises"})
    with pytest.raises(RunFailedError, match="server boom"):
        run.result(timeout=120)


def test_closing_the_link_ends_a_wait_in_another_thread(running: Federation) -> None:
    link = SuperLink.connect(running.control, root_certificates=running.ca)
    run = link.submit(TINY, run_config=WAITING)
    ends: list[BaseException] = []

    def wait() -> None:
        try:
            run.wait()
        except LinkClosedError as end:
            ends.append(end)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)  # into the stream
    link.close()
    waiting.join(60)
    assert len(ends) == 1
    with SuperLink.connect(running.control, root_certificates=running.ca) as another:
        another.run(run.run_id).stop()


@pytest.mark.row("S31")
def test_a_superlink_that_is_not_there_is_explained(running: Federation) -> None:
    with (
        SuperLink.connect(free_address(), root_certificates=running.ca) as nobody,
        pytest.raises(UnavailableError, match="refused"),
    ):
        nobody.runs()


def test_nodes_are_those_of_the_federation(link: SuperLink) -> None:
    assert [node.status for node in link.nodes()] == ["online", "online"]
