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


TESTS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("n", range({failing}))
def test_unlucky(n):
    tried = Path({folder!r}) / str(n)
    is_second = tried.exists()
    tried.touch()
    assert is_second and {passes_then}

def test_lucky(): pass
"""


@pytest.mark.parametrize(
    ("failing", "passes_then", "expected"),
    [
        (0, True, "passed"),
        (1, True, "UNSTEADY"),
        (1, False, "FAILED"),
        (run_tests.TRIED_AGAIN + 1, True, "FAILED"),
    ],
)
def test_what_failed_is_tried_again_alone_and_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    failing: int,
    passes_then: bool,
    expected: str,
) -> None:
    """Whatever the second time brings, what the first one said is printed."""
    text = TESTS.format(failing=failing, folder=str(tmp_path), passes_then=passes_then)
    (tmp_path / "test_some.py").write_text(text)
    (tmp_path / "pytest.ini").touch()
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)

    code, line = run_tests.run(run_tests.Suite("some", ["test_some.py", "-n", "2"]), [])

    assert code == (1 if expected == "FAILED" else 0)
    assert line.startswith("FAILED" if expected == "FAILED" else "passed  some")
    unsteady = "\nUNSTEADY test_some.py::test_unlucky[0]  (failed, then passed alone: mend it)"
    assert line.endswith(unsteady) is (expected == "UNSTEADY")
    assert ("assert (False" in capfd.readouterr().out) is (failing > 0)
