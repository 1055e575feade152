import ast
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from flwr.cli.new import Template, write_app
from flwr.fab.build import build_fab
from tests.unit.cli.conftest import Flwr

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("template", list(Template))
def test_every_template_makes_an_app_that_can_be_bundled(
    tmp_path: Path, template: Template
) -> None:
    write_app(tmp_path / "my-App", template, "acme")
    fab = build_fab(tmp_path / "my-App")

    assert fab.manifest.fab_id == "acme/my-App"
    assert fab.manifest.warnings == ()
    assert str(fab.manifest.serverapp) == "my_app.server_app:app"
    for path in (tmp_path / "my-App").rglob("*"):
        assert not path.is_file() or "__PACKAGE__" not in path.read_text()
    for path in (tmp_path / "my-App").rglob("*.py"):
        ast.parse(path.read_text())


def test_a_new_app_has_defaults_for_everything(flwr: Flwr, tmp_path: Path) -> None:
    outcome = flwr("new", "--format", "json")
    assert outcome.document["path"] == str(tmp_path / "my-app")
    assert "my_app/client_app.py" in outcome.document["files"]
    assert (tmp_path / "my-app/.gitignore").is_file()
    assert "flwr run ." in flwr("new", "other", "--template", "sklearn").out


def test_the_templates_are_listed_with_what_they_need(flwr: Flwr, tmp_path: Path) -> None:
    listed = flwr("new", "--list").out
    document = flwr("new", "--list", "--format", "json").document
    assert [each["name"] for each in document["templates"]] == list(Template)
    assert all(each["name"] in listed for each in document["templates"])
    assert "xgboost>=2.1" in document["templates"][3]["dependencies"]
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_what_is_left_out_is_asked_for(
    flwr: Flwr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flwr.cli.new._is_asked", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO("keras\nMessage\nasked\n"))
    outcome = flwr("new")
    assert outcome.code == 0
    assert "There is no template 'keras'." in outcome.out
    assert (tmp_path / "asked/asked/server_app.py").is_file()
    assert "federated statistics" in outcome.out.lower()

    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert flwr("new").code == 130
    assert flwr("new", "named").code == 0  # nothing is asked of those who say what they want


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["3x"], 2), (["@acme/app"], 6), (["app"], 6), (["x", "--publisher", "a/b"], 2)],
)
def test_a_name_that_cannot_be_used_is_refused(
    flwr: Flwr, app: Path, arguments: list[str], code: int
) -> None:
    assert flwr("new", *arguments).code == code


def test_the_digits_example_is_the_sklearn_template(tmp_path: Path) -> None:
    written = write_app(tmp_path / "digits", Template.SKLEARN, "flwr-compose")
    example = REPOSITORY / "examples/digits"
    assert {path: (tmp_path / "digits" / path).read_text() for path in written} == {
        path: (example / path).read_text() for path in written
    }


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [2, 5, 10])
def test_the_digits_are_learned_in_three_rounds(
    nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "examples/digits")
    task = importlib.import_module("digits.task")
    model = task.initial_model()
    shares = [task.load_partition(i, nodes, 42) for i in range(nodes)]
    for _ in range(3):
        fits = [task.fit(model, share, 5) for share in shares]
        model = [sum(parts) / nodes for parts in zip(*fits, strict=True)]

    _, accuracy = task.measure(model, task.load_held_out(42))

    assert accuracy > 0.9
    assert sum(len(digits) for _, digits in shares) == 1438  # four fifths, nothing twice


def test_help_loads_neither_grpc_nor_numpy() -> None:
    probe = (
        "import sys, flwr.cli.main; "
        "print([m for m in ('grpc', 'numpy', 'cryptography', 'rich') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"
