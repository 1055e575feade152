"""Each template makes an app that runs as it is, and does what its README says."""

import importlib
import re
from pathlib import Path

import pytest

from flwr.cli.new import Template, write_app
from tests.simulation.commands import run


def output_of(template: Template, root: Path) -> str:
    """Make an app, run it on two virtual nodes, return what it printed."""
    write_app(root / "my-app", template, "acme")
    output, document = run(root / "home", root / "my-app", 2)
    assert (document["success"], document["messages"]["failed"]) == (True, 0)
    return output


def last_figure(output: str, what: str) -> float:
    return float(re.findall(rf"{what} (\d\.\d+)", output)[-1])


@pytest.mark.slow
def test_numpy_finds_the_line(tmp_path: Path) -> None:
    assert "Final model: y = 2.999 x + -2.006" in output_of(Template.NUMPY, tmp_path)


@pytest.mark.slow
def test_sklearn_reads_digits(tmp_path: Path) -> None:
    assert last_figure(output_of(Template.SKLEARN, tmp_path), "accuracy") > 0.9


@pytest.mark.slow
def test_message_describes_values_that_stay_with_the_nodes(tmp_path: Path) -> None:
    output = output_of(Template.MESSAGE, tmp_path)
    assert "2 nodes, 1000 values: mean 20.313, deviation 2.011" in output
    counts = [int(n) for n in re.findall(r"  #* (\d+)$", output, re.MULTILINE)]
    assert (len(counts), sum(counts)) == (8, 1000)


@pytest.mark.long
@pytest.mark.parametrize(
    ("template", "package", "figure", "least"),
    [
        (Template.XGBOOST, "xgboost", "curve", 0.95),
        (Template.PYTORCH, "torch", "accuracy", 0.9),
    ],
)
def test_templates_of_large_packages_learn(
    tmp_path: Path, template: Template, package: str, figure: str, least: float
) -> None:
    pytest.importorskip(package, reason=f"the template {template} needs {package}")
    assert last_figure(output_of(template, tmp_path), figure) > least


@pytest.mark.parametrize("template", list(Template))
def test_what_a_template_needs_is_what_it_imports(tmp_path: Path, template: Template) -> None:
    """Of its dependencies, those that are installed here can be imported."""
    written = write_app(tmp_path / "my-app", template, "acme")
    texts = [(tmp_path / "my-app" / p).read_text() for p in written if p.endswith(".py")]
    roots = {
        word for text in texts for word in re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    }
    packages = roots - {"flwr", "math", "time", "warnings"}
    pyproject = (tmp_path / "my-app/pyproject.toml").read_text()
    for package in packages:
        named = {"sklearn": "scikit-learn"}.get(package, package)
        assert f'"{named}>=' in pyproject
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            assert package in {"torch", "xgboost"}
