"""A private repository, and where its secret is not: everywhere but in the request."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.core.errors import DeniedError
from flwr.fab.git_reference import parse_git_reference
from flwr.fab.git_source import FetchedApp, fetch_app
from flwr.fab.git_token import GitToken, GitTokenError
from tests.fakes.git_host import commit, git_host, has_git_host, make_repository
from tests.unit.fab import given

SECRET = "ghp_Zm9v+/bar=Q"


pytestmark = pytest.mark.skipif(not has_git_host(), reason="no git http-backend")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hosted")
    files = {name: data.decode() for name, data in given.FILES.items()}
    commit(make_repository(root / "app"), files, "v1")
    return root


@pytest.fixture
def host(repositories: Path) -> Iterator[str]:
    with git_host(repositories, user="x-access-token", password=SECRET) as address:
        yield address


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


def fetched(host: str, workplace: Path, token_file: Path | None) -> FetchedApp:
    workplace.mkdir()
    return fetch_app(parse_git_reference(f"git+{host}/app@v1"), workplace, token_file=token_file)


@pytest.mark.row("S45")
def test_a_private_repository_opens_by_its_token(
    host: str, tmp_path: Path, token_file: Path
) -> None:
    app = fetched(host, tmp_path / "w", token_file)
    assert (app.folder / "pyproject.toml").is_file()
    assert SECRET not in str(app.origin)


@pytest.mark.row("S45")
def test_a_user_name_may_stand_before_the_token(repositories: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"robot:{SECRET}")
    with git_host(repositories, user="robot", password=SECRET) as host:
        assert fetched(host, tmp_path / "w", tmp_path / "token").origin.commit


@pytest.mark.row("S45")
def test_the_token_is_in_no_argument_and_no_file(
    host: str, tmp_path: Path, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not in the credential store that the user configured, which keeps what it sees."""
    arguments, kept = tmp_path / "arguments", tmp_path / "kept"
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\necho "$@" >> {arguments}\nexec {shutil.which("git")} "$@"\n')
    shim.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[credential]\nhelper = store --file={kept}\n")
    monkeypatch.setenv("PATH", str(shim.parent), prepend=os.pathsep)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "trace-curl"))

    fetched(host, tmp_path / "w", token_file)

    assert "ls-remote" in arguments.read_text()
    files = [f for f in tmp_path.rglob("*") if f.is_file() and f != token_file]
    assert not [f for f in files if SECRET.encode() in f.read_bytes()]
    assert not kept.exists()


@pytest.mark.row("S45")
def test_no_token_and_a_wrong_one_are_told_apart(
    host: str, tmp_path: Path, token_file: Path
) -> None:
    with pytest.raises(DeniedError, match="is private, or does not exist") as caught:
        fetched(host, tmp_path / "none", None)
    assert "--git-token-file" in caught.value.hint

    token_file.write_text("wrong-secret")
    with pytest.raises(DeniedError, match="refuses the token") as caught:
        fetched(host, tmp_path / "wrong", token_file)
    assert "wrong-secret" not in caught.value.message + caught.value.hint


@pytest.mark.row("S45")
def test_the_token_is_shown_to_its_own_host_only(
    repositories: Path, host: str, tmp_path: Path, token_file: Path
) -> None:
    """Another port is another host, as after a redirect."""
    token = GitToken.read(token_file, f"{host}/app")
    settings = [part for setting in token.settings for part in ("-c", setting)]
    port = host.rpartition(":")[2]
    for address, answered in ((host, True), (host.replace(port, "1"), False)):
        done = subprocess.run(
            ["git", *settings, "credential", "fill"],
            input=f"url={address}/app\n\n",
            env={**os.environ, **token.environment, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (SECRET in done.stdout) is answered


def test_every_form_of_the_token_is_taken_out_of_what_git_says(token_file: Path) -> None:
    token = GitToken.read(token_file, "https://h/r")
    said = (
        f"https://x:{SECRET}@h ghp_Zm9v%2B%2Fbar%3DQ Basic eC1hY2Nlc3MtdG9rZW46Z2hwX1ptOXYrL2Jhcj1R"
    )
    assert token.redact(said) == "https://x:***@h *** Basic ***"
    assert SECRET not in repr(token)


@pytest.mark.parametrize("text", ["", "  \n", "two words", "a\nb", "user:", ":token", "ü", "\0"])
def test_a_file_without_a_token_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(GitTokenError) as caught:
        GitToken.read(path, "https://h/r")
    assert "USER:TOKEN" in caught.value.hint
    with pytest.raises(GitTokenError, match="No such file"):
        GitToken.read(tmp_path / "absent", "https://h/r")


def test_ssh_and_files_need_no_token(tmp_path: Path, repositories: Path) -> None:
    (tmp_path / "w").mkdir()
    reference = parse_git_reference(f"git+file://{repositories}/app")
    assert fetch_app(reference, tmp_path / "w", token_file=tmp_path / "absent").origin.commit
