"""Nodes are written by a program from one template."""

from pathlib import Path

import pytest

from compose import generate

TEMPLATE = """\
services:
#: each node
  node-{N}:
    profiles: {PROFILES}
    part: {INDEX} of ${FLWR_NODES}
#: end
volumes: {}
"""


def test_each_node_is_written_once_with_its_number_and_place() -> None:
    assert generate.render(TEMPLATE, 3) == (
        "services:\n"
        "  node-1:\n    profiles: [nodes-1, nodes-2, nodes-3]\n    part: 0 of ${FLWR_NODES}\n"
        "  node-2:\n    profiles: [nodes-2, nodes-3]\n    part: 1 of ${FLWR_NODES}\n"
        "  node-3:\n    profiles: [nodes-3]\n    part: 2 of ${FLWR_NODES}\n"
        "volumes: {}\n"
    )


@pytest.mark.parametrize(
    "text",
    ["#: each node\n", "#: end\n", "#: each node\n#: each node\n#: end\n#: end\n"],
    ids=["no end", "no beginning", "nested"],
)
def test_markers_that_do_not_pair_up_are_an_error(text: str) -> None:
    with pytest.raises(generate.TemplateError, match="has no partner"):
        generate.render(text, 2)


def test_the_files_of_the_repository_are_what_the_templates_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_file_that_somebody_edited_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "site.yaml").write_text(TEMPLATE)
    (tmp_path / "site.yaml").write_text("services: {}\n")
    monkeypatch.setattr(generate, "HERE", tmp_path)
    monkeypatch.setattr(generate, "TEMPLATES", tmp_path / "templates")

    assert generate.main(["--check"]) == 1
    said = capsys.readouterr()
    assert "site.yaml" in said.out
    assert "python3 compose/generate.py" in said.err

    assert generate.main(["--max", "2"]) == 0
    assert generate.main(["--check", "--max", "2"]) == 0
