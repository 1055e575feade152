"""Every example learns, on ten virtual nodes, what its README promises."""

from pathlib import Path

import pytest

from tests.harness.examples import EXAMPLES, Example, result_in
from tests.simulation.commands import config, run

NODES = 10
EVERY_EXAMPLE = [
    pytest.param(example, id=example.name, marks=[pytest.mark.torch] * (example.needs == "torch"))
    for example in EXAMPLES
]


@pytest.mark.parametrize("example", EVERY_EXAMPLE)
def test_an_example_learns(tmp_path: Path, example: Example) -> None:
    pytest.importorskip(example.needs)

    output, document = run(tmp_path, example.folder, NODES, *config(example.config))

    assert document["status"] == "completed", output[-3000:]
    assert document["messages"]["failed"] == 0
    assert example.has_learned(result_in(output)), result_in(output)


@pytest.mark.long
@pytest.mark.parametrize("example", EVERY_EXAMPLE)
def test_its_bounds_would_notice_that_nothing_is_learned(tmp_path: Path, example: Example) -> None:
    pytest.importorskip(example.needs)

    output, document = run(
        tmp_path, example.folder, NODES, *config({**example.config, **example.untrained})
    )

    assert document["status"] == "completed", output[-3000:]
    assert not example.has_learned(result_in(output)), result_in(output)


@pytest.mark.long
def test_sites_that_are_too_small_tell_nothing(tmp_path: Path) -> None:
    (analytics,) = (example for example in EXAMPLES if example.name == "federated-analytics")

    output, document = run(tmp_path, analytics.folder, 40, *config({"bisections": 1}))

    assert "22 of 40 sites do not take part: fewer than 5 wines" in output
    assert result_in(output)["wines"] == 90
    assert document["messages"]["failed"] == 22


def test_every_folder_is_an_example_with_a_readme() -> None:
    folders = {path.parent for path in EXAMPLES[0].folder.parent.glob("*/pyproject.toml")}

    assert {folder.name for folder in folders} == {"digits", *(e.name for e in EXAMPLES)}
    for folder in folders:
        readme = (folder / "README.md").read_text()
        assert readme.startswith(f"# {folder.name}\n")
        assert len(readme.splitlines()) <= 20
