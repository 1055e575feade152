"""images/build.py and inputs.py: when there is something to build, and what is said meanwhile."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from images import bases, build, inputs
from scripts import engine_pieces
from scripts.debian import SetupError

from tests.harness.toolset import ROOT


def test_the_digest_follows_sources_and_arguments_and_nothing_else(tmp_path: Path) -> None:
    for name in inputs.SOURCES["certs"]:
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("") if "." in place.name else place.mkdir()
    (tmp_path / "certs" / "pki.py").write_text("one")

    def digest(arguments: Mapping[str, str]) -> str:
        return inputs.digest(tmp_path, "certs", arguments)

    first = digest({"A": "1"})
    (tmp_path / "README.md").touch()
    (tmp_path / "certs" / "__pycache__").mkdir()
    (tmp_path / "certs" / "__pycache__" / "pki.pyc").touch()
    assert digest({"A": "1"}) == first
    assert digest({"A": "2"}) != first
    (tmp_path / "certs" / "pki.py").write_text("two")
    assert digest({"A": "1"}) != first


def test_every_source_of_an_image_exists_and_enters_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for names in inputs.SOURCES.values():
        for name in names:
            assert (ROOT / name).exists()
            assert name.startswith(".") or f"!{name.split('/')[0]}" in ignored


def test_the_contract_is_what_flwr_prints() -> None:
    flwr = ROOT / ".venv" / "bin" / "flwr"
    said = subprocess.run([flwr, "--version"], check=True, capture_output=True, text=True).stdout

    assert inputs.contract(ROOT) in said.split()


def test_progress_names_each_stage_once(capsys: pytest.CaptureFixture[str]) -> None:
    log: list[str] = []
    lines = [
        "#1 [internal] load build definition\n",
        "#7 [superlink wire 1/1] RUN --network=none python3 /layer.py\n",
        "#7 [superlink wire 1/1] RUN --network=none python3 /layer.py\n",
        "#9 [postgres-root 2/3] RUN --network=none x\n",
        "#9 0.1 noise\n",
    ]

    build.follow(lines, log.append, verbose=False)

    assert capsys.readouterr().err.split() == ["wire", "postgres-root"]
    assert log == lines


def test_an_unknown_role_is_refused_before_anything_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as raised:
        build.main(["superlnik"])
    assert raised.value.code == 2
    assert "no image is called superlnik" in capsys.readouterr().err


def test_without_an_engine_it_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_pieces, "server_version", lambda: None)

    assert build.main([]) == 3
    assert "scripts/engine.py up" in capsys.readouterr().err


def test_bases_of_the_environment_are_used_as_they_are() -> None:
    given = {"BUILD_BASE": "python:3.13-slim", "RUN_BASE": "another"}

    assert build.make_bases(given) == given


def test_without_root_the_bases_that_are_there_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise SetupError("making bases needs root", "run: sudo make bases")

    monkeypatch.setattr(bases, "check_machine", refuse)
    monkeypatch.setattr(build, "image_id_here", lambda name: f"id of {name}")
    assert build.make_bases({})["RUN_BASE"] == "flwr-compose/base-run:trixie"

    monkeypatch.setattr(build, "image_id_here", lambda _: "")
    assert build.make_bases({}) == build.read_env_file(build.PUBLIC_BASES.read_text())
