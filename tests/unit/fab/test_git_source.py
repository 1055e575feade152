import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from flwr.core import limits
from flwr.core.errors import FlwrError, NotFoundError, UnavailableError
from flwr.fab import git_program, git_tree
from flwr.fab.build import build_fab
from flwr.fab.git_errors import (
    GitContentError,
    GitEmptyError,
    GitMissingError,
    GitRefNotFoundError,
    GitTimeoutError,
    GitTooLargeError,
    NoAppInRepositoryError,
)
from flwr.fab.git_reference import parse_git_reference
from flwr.fab.git_source import FetchedApp, fetch_app
from flwr.fab.opened import opened_from_git
from tests.fakes.git_host import commit, git, git_host, make_repository
from tests.harness.program import eventually
from tests.unit.fab import given

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="no git program")

FILES = {name: data.decode() for name, data in given.FILES.items()}


@dataclass(frozen=True)
class Repository:
    """Three commits: an app; a change, tagged; an app in a folder."""

    path: Path
    first: str  # tag v1.0, branch feature/x
    second: str  # annotated tag v1.1
    third: str  # main

    @property
    def url(self) -> str:
        return f"git+file://{self.path}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = make_repository(tmp_path_factory.mktemp("git") / "owner" / "repo")
    first = commit(path, FILES, "v1.0")
    git(path, "branch", "feature/x")
    second = commit(path, {"tiny/extra.py": "x = 1\n"})
    git(path, "tag", "--annotate", "v1.1", "--message", "x")
    third = commit(path, {f"apps/a/{name}": text for name, text in FILES.items()})
    return Repository(path, first, second, third)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    folder = tmp_path / "workplace"
    folder.mkdir()
    return folder


def fetched(text: str, workplace: Path) -> FetchedApp:
    return fetch_app(parse_git_reference(text), workplace)


@pytest.mark.row("S45")
@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("", "third"),
        ("@main", "third"),
        ("@v1.0", "first"),
        ("@v1.1", "second"),
        ("@feature/x", "first"),
        ("@refs/heads/feature/x", "first"),
    ],
)
def test_tags_branches_and_the_default_branch_give_their_commit(
    repository: Repository, workplace: Path, name: str, which: str
) -> None:
    app = fetched(repository.url + name, workplace)
    assert app.origin.commit == getattr(repository, which)
    assert (app.folder / "tiny" / "extra.py").exists() is (which != "first")


@pytest.mark.row("S45")
@pytest.mark.parametrize("digits", [7, 40])
def test_a_commit_is_found_whole_or_shortened(
    repository: Repository, workplace: Path, digits: int
) -> None:
    app = fetched(f"{repository.url}@{repository.first[:digits]}", workplace)
    assert app.origin.commit == repository.first


@pytest.mark.row("S45")
def test_an_app_in_a_folder_is_found_and_its_place_remembered(
    repository: Repository, workplace: Path
) -> None:
    app = fetched(f"{repository.url}#subdirectory=apps/a", workplace)
    assert app.origin.subdirectory == "apps/a"
    assert sorted(p.name for p in app.folder.iterdir()) == ["pyproject.toml", "tiny"]


@pytest.mark.row("S45")
def test_the_same_commit_is_the_same_bundle_and_holds_what_its_folder_holds(
    repository: Repository, tmp_path: Path
) -> None:
    hashes = set()
    for name in ("v1.0", "feature/x", repository.first):
        with opened_from_git(parse_git_reference(f"{repository.url}@{name}")) as app:
            hashes.add(build_fab(app.folder, origin=app.origin).fab_hash)
            without = build_fab(app.folder).fab_hash
        assert not app.folder.exists()
    assert len(hashes) == 1
    assert without == build_fab(given.app(tmp_path / "app")).fab_hash


@pytest.mark.row("S45")
def test_a_moved_tag_is_another_commit(tmp_path: Path) -> None:
    path = make_repository(tmp_path / "repo")
    for files in (FILES, {"x.py": ""}):
        wanted = commit(path, files, "v1")
        with opened_from_git(parse_git_reference(f"git+file://{path}@v1")) as app:
            assert app.origin.commit == wanted


@pytest.mark.row("S45")
@pytest.mark.parametrize("dumb", [False, True])
def test_web_hosts_are_read_whether_they_speak_git_or_only_serve_files(
    repository: Repository, workplace: Path, dumb: bool
) -> None:
    git(repository.path, "update-server-info")
    with git_host(repository.path.parent, dumb=dumb) as host:
        app = fetched(f"git+{host}/repo/.git@v1.0", workplace)
    assert app.origin.commit == repository.first
    assert app.origin.url == f"{host}/repo/.git"


@pytest.mark.row("S45")
def test_an_unknown_name_lists_those_like_it(repository: Repository, workplace: Path) -> None:
    with pytest.raises(GitRefNotFoundError, match=r"'v1\.2'; those like it: v1\.[01], v1\.[01]"):
        fetched(f"{repository.url}@v1.2", workplace)


def test_a_name_like_no_other_lists_some(repository: Repository, workplace: Path) -> None:
    with pytest.raises(GitRefNotFoundError, match=r"among 4: feature/x, main, v1\.0, v1\.1"):
        fetched(f"{repository.url}@deadbeefdead", workplace)


def test_a_repository_without_a_default_branch_lists_the_others(
    tmp_path: Path, workplace: Path
) -> None:
    path = make_repository(tmp_path / "repo")
    commit(path, FILES)
    git(path, "symbolic-ref", "HEAD", "refs/heads/absent")
    with pytest.raises(GitRefNotFoundError, match="no default branch; there are, among 1: main"):
        fetched(f"git+file://{path}", workplace)


def test_a_repository_with_long_commit_ids_is_read(tmp_path: Path, workplace: Path) -> None:
    path = make_repository(tmp_path / "repo", "--object-format=sha256")
    wanted = commit(path, FILES)
    assert len(wanted) == 64
    assert fetched(f"git+file://{path}@{wanted}", workplace).origin.commit == wanted


@pytest.mark.row("S45")
def test_a_folder_without_a_project_names_those_with_one(
    repository: Repository, tmp_path: Path, workplace: Path
) -> None:
    with pytest.raises(NoAppInRepositoryError) as caught:
        fetched(f"{repository.url}#subdirectory=apps", workplace)
    assert caught.value.folders == (".", "apps/a")
    assert caught.value.hint == "leave out #subdirectory"

    bare = make_repository(tmp_path / "r")
    commit(bare, {"README.md": "", "apps/b/pyproject.toml": ""})
    with (
        pytest.raises(NoAppInRepositoryError) as caught,
        opened_from_git(parse_git_reference(f"git+file://{bare}")),
    ):
        pass
    assert caught.value.hint == "add #subdirectory=apps/b"


def test_a_repository_without_commits_says_so(tmp_path: Path, workplace: Path) -> None:
    path = make_repository(tmp_path / "empty")
    with pytest.raises(GitEmptyError):
        fetched(f"git+file://{path}", workplace)


@pytest.mark.row("S45")
@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("git+file:///nowhere/at/all", NotFoundError, "there is no repository"),
        ("git+https://127.0.0.1:1/r", UnavailableError, "does not answer"),
    ],
)
def test_no_repository_and_no_host_are_told_apart(
    workplace: Path, text: str, kind: type[FlwrError], why: str
) -> None:
    with pytest.raises(kind, match=why):
        fetched(text, workplace)


@pytest.mark.row("S45")
def test_a_missing_git_program_is_named(
    repository: Repository, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(workplace))
    with pytest.raises(GitMissingError) as caught:
        fetched(repository.url, workplace)
    assert "apt-get install git" in caught.value.hint


@pytest.mark.row("S45")
def test_nothing_of_the_repository_is_obeyed(tmp_path: Path, workplace: Path) -> None:
    """Links and submodules stay out; attributes, filters and hooks change no byte."""
    proof = tmp_path / "executed"
    path = make_repository(tmp_path / "repo")
    inner = make_repository(tmp_path / "inner")
    commit(inner, {"x.py": ""})
    (path / "link.py").symlink_to("/etc/passwd")
    git(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    commit(
        path,
        {
            **FILES,
            "tiny/lines.py": "# $Id$\na = 1\n",
            ".gitattributes": "*.py filter=bad ident eol=crlf\n",
            ".githooks/post-checkout": f"#!/bin/sh\ntouch {proof}\n",
        },
    )
    home = tmp_path / "gitconfig"
    run = f"touch {proof}"
    home.write_text(f'[filter "bad"]\nsmudge = {run}\n[core]\nhooksPath = .githooks\n')

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(home))
        app = fetched(f"git+file://{path}", workplace)

    assert not proof.exists()
    assert (app.folder / "tiny" / "lines.py").read_bytes() == b"# $Id$\na = 1\n"
    assert not os.path.lexists(app.folder / "link.py")
    assert not (app.folder / "sub").exists()


def test_a_caller_inside_another_repository_changes_nothing(
    repository: Repository, tmp_path: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert fetched(repository.url, workplace).origin.commit == repository.third
    assert not (other / ".git" / "FETCH_HEAD").exists()


@pytest.mark.parametrize("path", ["../x.py", "a/.git/config", "a/.GIT/x", "a//b", "a\\b", "a/./b"])
def test_a_path_that_leaves_the_folder_or_means_something_to_git_is_refused(path: str) -> None:
    listing = f"100644 blob {'a' * 40}       1\t{path}\0".encode()
    with pytest.raises(GitContentError, match="not allowed"):
        git_tree.read_tree(listing)


@pytest.mark.row("S45")
def test_a_repository_above_the_limit_is_refused(
    repository: Repository, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_program, "MAX_GIT_BYTES", 1000)
    with pytest.raises(GitTooLargeError) as caught:
        fetched(repository.url, workplace)
    assert "flwr run PATH" in caught.value.hint


def test_files_above_the_limits_are_refused_before_they_are_read() -> None:
    line = f"100644 blob {'a' * 40} {limits.MAX_GIT_BYTES}\t%d\0"
    with pytest.raises(GitTooLargeError):
        git_tree.read_tree((line % 1 + line % 2).encode())


@pytest.mark.row("S45")
def test_a_git_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/pid\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    started = tmp_path / "pid"

    def now() -> float:
        return 10_000.0 if started.exists() and started.read_text() else 0.0

    run = git_program.Git(workplace, scheme="file", monotonic=now)
    with pytest.raises(GitTimeoutError, match="within 180 s"):
        run.call("ls-remote")
    child = int(started.read_text())
    eventually(lambda: not _lives(child), timeout=60)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.row("S45")
@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("git@h: Permission denied (publickey).\nfatal: Could not read", "denied", "ssh-add"),
        ("Host key verification failed.\nfatal: Could not read from", "denied", "compare the key"),
        ("fatal: detected dubious ownership in repository", "denied", "safe.directory"),
        ("fatal: unable to access: SSL certificate problem: x", "unavailable", "sslCAInfo"),
        ("fatal: Could not resolve host: h", "unavailable", "DNS"),
        ("ERROR: Repository not found.\nfatal: Could not read", "not-found", "correct the address"),
        ("remote: something\nfatal: strange", "unavailable", "git ls-remote ssh://git@h/o/r"),
    ],
)
def test_what_git_says_becomes_a_cause_and_a_remedy(said: str, kind: str, words: str) -> None:
    from flwr.fab.git_errors import explain_failure

    error: FlwrError = explain_failure(
        parse_git_reference("git+ssh://git@h/o/r"), said, with_token=False
    )
    assert (error.kind.value, words in error.hint) == (kind, True)
