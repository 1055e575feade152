"""Apps that are no folder: from git, and of two files."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flwr.core.federation import DEFAULT_FEDERATION
from flwr.core.origin import Origin
from flwr.core.run import Run
from tests.fakes.control import FakeControl, some_run
from tests.fakes.git_host import commit, git, git_host, has_git_host, make_repository
from tests.unit.cli.conftest import HERE, Flwr
from tests.unit.fab import given

INLINE = ("--server-app", "server.py:app", "--client-app", "client.py:app")
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="no git program")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text("app = 1\n")
    (tmp_path / "client.py").write_text("app = 2\n")
    return tmp_path


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_repository(tmp_path_factory.mktemp("git") / "repo")
    commit(path, {name: data.decode() for name, data in given.FILES.items()}, "v1")
    elsewhere = '\n[tool.flwr.federations]\ndefault = "theirs"\n[tool.flwr.federations.theirs]\n'
    elsewhere += 'address = "198.51.100.1:9093"\ninsecure = true\n'
    commit(path, {"pyproject.toml": given.PYPROJECT + elsewhere}, "v2")
    return path


def submitted(control: FakeControl) -> tuple[object, ...]:
    (arguments,) = [args for call, args in control.asked if call == "start_run"]
    assert isinstance(arguments, tuple)
    return arguments


@needs_git
@pytest.mark.row("S45")
def test_an_app_from_git_is_submitted_with_its_commit(
    flwr: Flwr, control: FakeControl, repository: Path
) -> None:
    outcome = flwr("run", f"git+file://{repository}@v1", *HERE, "-c", "rounds=9", "--format=json")

    assert outcome.code == 0
    assert outcome.document["fab-id"] == "acme/tiny-app"
    assert outcome.document["origin"] == {
        "commit": git(repository, "rev-parse", "v1"),
        "url": "",
        "subdirectory": "",
    }
    assert submitted(control)[0] == {"rounds": 9}
    assert "Fetching file://" in outcome.err


def with_origin() -> Run:
    origin = Origin(commit="c" * 40, url="https://h/o/r", subdirectory="apps/a")
    return replace(some_run(7), origin=origin)


@pytest.mark.row("S45")
def test_the_commit_is_shown_with_its_run(flwr: Flwr, control: FakeControl) -> None:
    control.runs = {7: with_origin()}
    detail = flwr("ls", "--run-id", "7", *HERE).out
    assert "c" * 40 in detail
    assert "https://h/o/r" in detail
    shown = flwr("ls", "--run-id", "7", *HERE, "--format", "json").document["runs"][0]
    assert shown["origin"] == {
        "commit": "c" * 40,
        "url": "https://h/o/r",
        "subdirectory": "apps/a",
    }


@needs_git
@pytest.mark.row("S45")
def test_a_bundle_from_git_can_be_built(flwr: Flwr, repository: Path, tmp_path: Path) -> None:
    outcome = flwr("build", "--app", f"git+file://{repository}@v1", "--format", "json")
    assert (tmp_path / outcome.document["path"]).is_file()
    assert outcome.document["origin"]["commit"] == git(repository, "rev-parse", "v1")


@pytest.mark.skipif(not has_git_host(), reason="no git http-backend")
@pytest.mark.row("S45")
def test_the_token_of_a_private_repository_comes_by_file_or_environment(
    flwr: Flwr, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("robot:s3cr3t\n")
    with git_host(repository.parent, user="robot", password="s3cr3t") as host:
        app = f"git+{host}/repo@v1"
        refused = flwr("run", app, *HERE, "--format", "json")
        by_option = flwr("run", app, *HERE, "--git-token-file", secret)
        monkeypatch.setenv("FLWR_GIT_TOKEN_FILE", str(secret))
        by_environment = flwr("run", app, *HERE)
    assert (refused.code, by_option.code, by_environment.code) == (5, 0, 0)
    assert "--git-token-file" in refused.document["hint"]
    said = by_option.out + by_option.err + by_environment.err
    assert "s3cr3t" not in said


@pytest.mark.row("S45")
@pytest.mark.parametrize(
    ("app", "code", "why"),
    [
        ("git+https://me:s3cr3t@h/r", 2, "--git-token-file"),
        ("https://h/o/r", 2, "put git+ before it"),
        ("git+file:///nowhere/at/all", 4, "there is no repository"),
    ],
)
def test_a_reference_that_leads_nowhere_is_explained(
    flwr: Flwr, control: FakeControl, app: str, code: int, why: str
) -> None:
    outcome = flwr("run", app, *HERE)
    assert outcome.code == code
    assert why in outcome.err
    assert "s3cr3t" not in outcome.err
    assert control.asked == []


@needs_git
@pytest.mark.row("S49")
def test_connections_of_a_fetched_app_count_by_name_only(
    flwr: Flwr, control: FakeControl, repository: Path, tmp_path: Path
) -> None:
    """Its default would decide where the user's submissions go."""
    (tmp_path / "home").mkdir()
    mine = '[superlink]\ndefault = "mine"\n[superlink.mine]\naddress = "127.0.0.1:7"\n'
    (tmp_path / "home" / "config.toml").write_text(mine)
    app = f"git+file://{repository}@v2"

    assert flwr("run", app).code == 0
    assert flwr("run", app, "theirs").code == 0
    assert [c.address for c in control.connections] == ["127.0.0.1:7", "198.51.100.1:9093"]

    wrong = flwr("run", app, "other")
    assert wrong.code == 4
    assert "theirs (the fetched app)" in wrong.err
    assert "mine (" in wrong.err


@needs_git
@pytest.mark.row("S49")
def test_a_wrong_federation_of_an_app_from_git_gets_the_list(flwr: Flwr, repository: Path) -> None:
    outcome = flwr("run", f"git+file://{repository}@v1", *HERE, "--federation", "other")
    assert outcome.code == 4
    assert f"federations of this SuperLink: {DEFAULT_FEDERATION}" in outcome.err


@pytest.mark.row("S46", "S49")
@pytest.mark.usefixtures("files")
def test_an_inline_app_needs_neither_project_nor_federation(
    flwr: Flwr, control: FakeControl
) -> None:
    outcome = flwr("run", *INLINE, *HERE, "-c", "lr=0.1", "--name", "mine", "--format", "json")
    assert outcome.code == 0
    assert outcome.document["fab-id"] == "inline/mine"
    assert submitted(control)[:2] == ({}, "")  # its config is declared in the bundle itself
    assert outcome.err == ""


@pytest.mark.row("S49")
@pytest.mark.usefixtures("files")
def test_a_wrong_federation_of_an_inline_app_gets_the_list(flwr: Flwr) -> None:
    outcome = flwr("run", *INLINE, *HERE, "--federation", "other")
    assert outcome.code == 4
    assert f"federations of this SuperLink: {DEFAULT_FEDERATION}" in outcome.err


@pytest.mark.row("S46", "S49")
@pytest.mark.usefixtures("files")
def test_the_only_argument_beside_two_files_is_the_superlink(
    flwr: Flwr, control: FakeControl, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    config = '[superlink]\n[superlink.x]\naddress = "127.0.0.1:7"\noptions.num-supernodes = 3\n'
    (tmp_path / "home" / "config.toml").write_text(config)

    assert flwr("run", *INLINE, "x").code == 0
    assert flwr("run", ".", "x", *INLINE).code == 0
    assert {c.name for c in control.connections} == {"x"}
    simulation = next(args for call, args in control.asked if call == "start_run")[2]  # type: ignore[index]
    assert simulation.num_supernodes == 3

    both = flwr("run", "app", "x", *INLINE)
    assert (both.code, "leave out one" in both.err) == (2, True)
    wrong = flwr("run", *INLINE, "y")
    assert (wrong.code, "known connections: x (" in wrong.err) == (4, True)


@pytest.mark.row("S46")
@pytest.mark.usefixtures("files")
def test_an_inline_app_can_be_built(flwr: Flwr, tmp_path: Path) -> None:
    outcome = flwr("build", *INLINE, "-c", "lr=0.1", "--dependency", "scipy", "--format", "json")
    assert outcome.document["kept"] == ["pyproject.toml", "client.py", "server.py"]
    assert (tmp_path / outcome.document["path"]).is_file()


@pytest.mark.row("S46")
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "--server-app", "server.py:app"], "needs both"),
        (["run", "--name", "x"], "for inline apps"),
        (["build", "--dependency", "x"], "for inline apps"),
        (["build", "--app", "x", *INLINE], "--app is for a project"),
        (["build", "-c", "lr=1"], "--run-config is for inline apps"),
        (["run", "--server-app", "server.py:x", "--client-app", "client.py:app"], "objects in it"),
    ],
)
@pytest.mark.usefixtures("files")
def test_options_that_contradict_each_other_are_refused(
    flwr: Flwr, control: FakeControl, arguments: list[str], why: str
) -> None:
    outcome = flwr(*arguments)
    assert (outcome.code, why in outcome.err) == (2, True)
    assert control.asked == []
