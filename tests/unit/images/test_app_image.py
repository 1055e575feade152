"""images/app_image.py: what a pyproject.toml asks for, and what is said when it cannot be done."""

from pathlib import Path
from typing import Any

import pytest
from images import app_image, app_manifest, wheelhouse
from images.app_manifest import ManifestError
from scripts.debian import SetupError

PROJECT: dict[str, Any] = {"name": "My_App", "version": "1.2", "dependencies": ["numpy>=1.26"]}


def document(project: dict[str, Any] | None = None, **tool: Any) -> dict[str, Any]:
    return {"project": {**PROJECT, **(project or {})}, "tool": tool}


def test_an_app_is_read_with_what_its_images_need() -> None:
    app = app_manifest.parse(
        document(
            {"dependencies": ["numpy>=1.26", "scikit-learn ; python_version > '3.9'"]},
            flwr={"app": {"publisher": "hospital"}},
            **{"flwr-compose": {"image": {"debian-packages": ["libgomp1"]}}},
        ),
        "pyproject.toml",
    )

    assert app.full_name == "hospital/My_App"
    assert app.requirements == ("numpy>=1.26", "scikit-learn ; python_version > '3.9'")
    assert app.debian_packages == ("libgomp1",)


@pytest.mark.row("S50", "S51")
def test_packages_may_be_added_that_the_app_does_not_name() -> None:
    app = app_manifest.parse(document(), "pyproject.toml")

    more = app_manifest.extended(app, ["humanize==4.12.3", "flwr>=1.20"], ["hello"])

    assert more.requirements == ("numpy>=1.26", "humanize==4.12.3")
    assert more.debian_packages == ("hello",)


@pytest.mark.parametrize(("python", "debian"), [(["--pre"], []), ([], ["-o=x"])])
def test_an_added_package_is_no_option_of_pip_or_apt(python: list[str], debian: list[str]) -> None:
    app = app_manifest.parse(document(), "pyproject.toml")
    with pytest.raises(ManifestError, match="the command line"):
        app_manifest.extended(app, python, debian)


@pytest.mark.parametrize(
    "line", ["flwr", "flwr[simulation]>=1.20", "Flwr == 1.29", "flwr_compose", "flwr-compose>=0.1"]
)
def test_the_runtime_is_never_installed_over_the_image_s_own(line: str) -> None:
    app = app_manifest.parse(document({"dependencies": [line, "flwr-datasets"]}), "f")

    assert app.requirements == ("flwr-datasets",)


@pytest.mark.parametrize(
    ("wrong", "cause", "remedy"),
    [
        ({}, "no table [project]", "flwr new"),
        (document({"name": None}), "name in [project] is None", "write a name"),
        (document({"name": "a/b"}), "name in [project] is 'a/b'", "write a name"),
        (document({"version": "1 2"}), "version in [project] is '1 2'", "write a version"),
        (document({"dependencies": "numpy"}), "no list of strings", "dependencies = ["),
        (document({"dependencies": [">=1"]}), "'>=1' names no package", "PACKAGE @ URL"),
        (document({"dynamic": ["dependencies"]}), "dynamic", "list them"),
        (
            document(**{"flwr-compose": {"image": {"debian-packages": ["a; rm -rf /"]}}}),
            "'a; rm -rf /' is no name of a Debian package",
            "names only",
        ),
        (
            document(**{"flwr-compose": {"image": {"apt": []}}}),
            "[tool.flwr-compose.image] has no key apt",
            "it has: debian-packages",
        ),
    ],
)
def test_a_pyproject_that_cannot_be_used_is_refused_with_a_remedy(
    wrong: dict[str, Any], cause: str, remedy: str
) -> None:
    with pytest.raises(ManifestError) as raised:
        app_manifest.parse(wrong, "app/pyproject.toml")
    assert cause in str(raised.value)
    assert str(raised.value).startswith("app/pyproject.toml")
    assert remedy in raised.value.remedy


def test_a_missing_folder_and_broken_toml_end_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app_image.main([str(tmp_path / "nowhere")]) == 2
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert app_image.main([str(tmp_path)]) == 2

    said = capsys.readouterr().err
    assert "No such file or directory" in said
    assert "is not TOML" in said
    assert "Traceback" not in said


def test_images_are_named_by_app_role_and_version() -> None:
    app = app_manifest.parse(document(), "f")

    serverapp, clientapp = app_image.names_of(app, "registry.test/team", "0.1.0")

    assert serverapp.image == "registry.test/team/my-app-serverapp:1.2"
    assert clientapp.parent == "registry.test/team/clientapp:0.1.0"


def test_wheels_that_were_fetched_are_kept_until_the_requirements_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        app_image, "complete_wheels", lambda wanted, _parent, _work: fetched.append(wanted)
    )
    app = app_manifest.parse(document(), "f")
    other = app_manifest.parse(document({"dependencies": ["numpy<2"]}), "f")

    for each in (app, app, other):
        app_image.fetch_wheels(each, "parent", tmp_path, refresh=False)
    app_image.fetch_wheels(other, "parent", tmp_path, refresh=True)

    assert fetched == [app.requirements, other.requirements, other.requirements]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wheels"]


def test_an_interrupted_fetch_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    app = app_manifest.parse(document(), "f")
    monkeypatch.setattr(app_image, "complete_wheels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        app_image.fetch_wheels(app, "parent", tmp_path, refresh=False)

    assert [*tmp_path.iterdir()] == []


def test_what_only_the_images_python_needs_is_fetched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    answers = iter(["audioop-lts", "another>=1", None])
    monkeypatch.setattr(
        wheelhouse, "download", lambda what, _folder, _machine: asked.append([*what])
    )
    monkeypatch.setattr(app_image, "lacking", lambda _parent, _wheels: next(answers))

    app_image.complete_wheels(["pydub"], "parent", tmp_path)

    assert asked[-1] == ["pydub", "audioop-lts", "another>=1"]


def test_a_package_without_a_wheel_says_how_to_do_it_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SetupError("No matching distribution found for docopt", "name another release")

    monkeypatch.setattr(wheelhouse, "download", refuse)

    with pytest.raises(SetupError, match="docopt") as raised:
        app_image.complete_wheels(["docopt"], "parent", tmp_path)
    assert "images/README.md" in raised.value.remedy


def test_a_failed_build_is_told_by_its_own_words() -> None:
    log = (
        "#8 [packages 2/2] RUN pip install\n"
        "#8 1.075 ERROR: Cannot install protobuf<5 because of conflicts.\n"
        "#8 1.076     The user requested protobuf<5\n"
        "#8 1.077 ERROR: ResolutionImpossible: for help visit\n"
        '#8 ERROR: process "/bin/sh -c pip" did not complete successfully: exit code: 1\n'
        "1.075 ERROR: Cannot install protobuf<5 because of conflicts.\n"
    )

    assert app_image.cause_of(log) == (
        "Cannot install protobuf<5 because of conflicts.; The user requested protobuf<5"
    )
    assert app_image.cause_of("#3 0.3 E: no space\n") == "no space"
    assert app_image.cause_of("something else") == "something else"
