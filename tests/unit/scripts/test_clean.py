"""``make clean`` removes what was started from this checkout, and nothing else."""

from pathlib import Path

import pytest
from scripts import clean
from scripts.demo import OURS

from tests.unit.scripts.fake_docker import FakeDocker


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for the repository."""
    root = tmp_path / "checkout"
    for name in (".venv", ".state/certs", "runtime/flwr/__pycache__", "compose"):
        (root / name).mkdir(parents=True)
    (root / ".state" / "federations").write_text("flwr\n")
    (root / "README.md").write_text("kept")
    monkeypatch.setattr(clean, "ROOT", root)
    monkeypatch.setattr(clean, "KNOWN", root / ".state" / "federations")
    monkeypatch.setattr(clean, "SETTINGS", root / "compose" / ".env")
    monkeypatch.setattr(clean, "engine_is_ours", lambda: False)
    return root


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    (tmp_path / "bin").mkdir()
    fake = FakeDocker.install(tmp_path / "bin", monkeypatch)
    fake.answer(
        {
            "ps --all --quiet": "c1\nc2",
            "network ls": "flwr_fleet",
            "volume ls": "flwr_superlink-state",
            "image ls": "sha256:1",
        }
    )
    return fake


def removals(docker: FakeDocker) -> list[str]:
    verbs = ("rm", "network rm", "volume rm", "image rm", "builder")
    return [call for call in docker.calls if call.startswith(verbs)]


def test_everything_of_a_noted_federation_goes(docker: FakeDocker, checkout: Path) -> None:
    assert clean.main([]) == 0
    assert removals(docker) == [
        "rm --force --volumes c1",
        "rm --force --volumes c2",
        "network rm flwr_fleet",
        "volume rm flwr_superlink-state",
        *["image rm --force sha256:1"] * 2,  # images and bases, by their labels
    ]
    listed = [call for call in docker.calls if call.startswith(("network ls", "volume ls"))]
    assert all("project=flwr" in call for call in listed)


def test_files_go_but_those_of_version_control(docker: FakeDocker, checkout: Path) -> None:
    (checkout / ".interop" / "a-venv" / "__pycache__").mkdir(parents=True)
    assert clean.main([]) == 0
    left = {str(p.relative_to(checkout)) for p in checkout.rglob("*")}
    assert left == {"README.md", "compose", "runtime", "runtime/flwr"}


@pytest.mark.parametrize(
    ("text", "stays"), [("FLWR_FEDERATION=mine\n", True), (f"{OURS}\n", False)]
)
def test_settings_that_somebody_wrote_stay(
    docker: FakeDocker, checkout: Path, text: str, stays: bool
) -> None:
    (checkout / "compose" / ".env").write_text(text)
    clean.main([])
    assert (checkout / "compose" / ".env").exists() is stays


def test_a_dry_run_removes_nothing(
    docker: FakeDocker, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clean.main(["--dry-run"]) == 0
    assert removals(docker) == []
    assert (checkout / ".venv").exists()
    assert "would remove containers of flwr: 2" in capsys.readouterr().out


def test_what_cannot_be_removed_is_named_and_the_rest_goes(
    docker: FakeDocker, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.answer({"ps --all --quiet": "c1", "rm": None, "volume ls": "v"})
    assert clean.main([]) == 1
    assert "not removed: containers of flwr: docker rm: docker: refused" in capsys.readouterr().err
    assert "volume rm v" in docker.calls
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(("others", "stops"), [("", True), ("x1", False)])
def test_an_engine_of_ours_is_stopped_unless_others_use_it(
    docker: FakeDocker,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    others: str,
    stops: bool,
) -> None:
    tool = tmp_path / "engine.py"
    tool.write_text(
        f"import sys, pathlib; pathlib.Path({str(tmp_path / 'said')!r}).write_text(sys.argv[1])"
    )
    monkeypatch.setattr(clean, "_ENGINE", tool)
    monkeypatch.setattr(clean, "engine_is_ours", lambda: True)
    docker.answer({"ps --quiet": others})
    assert clean.main([]) == 0
    assert "builder prune --all --force" in docker.calls
    assert (tmp_path / "said").exists() is stops


def test_without_an_engine_nothing_is_forgotten(
    docker: FakeDocker, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.answer({"version": None})
    assert clean.main([]) == 3
    assert "make engine && make clean" in capsys.readouterr().err
    assert (checkout / ".state" / "federations").exists()
