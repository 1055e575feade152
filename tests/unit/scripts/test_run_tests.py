"""The summary of all suites tells what did not run, and why."""

from pathlib import Path

import pytest
from scripts import run_tests

from tests.unit.scripts.fake_docker import FakeDocker


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    return FakeDocker.install(tmp_path, monkeypatch)


def test_with_an_engine_containers_are_tested(docker: FakeDocker) -> None:
    assert run_tests.why_no_containers() is None


def test_only_root_may_start_an_engine(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.answer({"version": None})
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "only root may start one" in str(run_tests.why_no_containers())


@pytest.mark.parametrize(("required", "expected"), [("", 0), ("1", 1)])
def test_a_suite_without_an_engine_is_reported_and_fails_only_where_it_must_run(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, required: str, expected: int
) -> None:
    docker.answer({"compose version": None})
    monkeypatch.setenv("FLWR_TEST_ENGINE_REQUIRED", required)
    code, line = run_tests.run(run_tests.SUITES[-1], [])
    assert code == expected
    assert line == "NOT RUN containers  (docker has no Compose here: make engine)"
