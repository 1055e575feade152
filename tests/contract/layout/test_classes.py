"""A class says what all its instances have before it says what they do."""

import ast

from tests.harness.toolset import ROOT

PACKAGE = ROOT / "runtime" / "flwr"


def late_declarations(source: str) -> list[str]:
    """Return what classes declare below a method, but for other names of their methods.

    ``__hash__ = None`` belongs to the ``__eq__`` above it.
    """
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return [name for found in classes for name in _late_in(found)]


def _late_in(found: ast.ClassDef) -> list[str]:
    methods, late = set[str](), list[str]()
    for node in found.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            methods.add(node.name)
        elif methods and isinstance(node, ast.Assign | ast.AnnAssign):
            is_alias = isinstance(node.value, ast.Name) and node.value.id in methods
            target = ast.unparse(
                node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            )
            if not is_alias and target != "__hash__":
                late.append(f"{found.name}.{target}")
    return late


def test_no_class_declares_anything_below_its_methods() -> None:
    files = [file for file in PACKAGE.rglob("*.py") if "proto" not in file.parts]
    late = {file.name: names for file in files if (names := late_declarations(file.read_text()))}

    assert len(files) > 300
    assert late == {}


def test_what_would_be_told() -> None:
    text = "class A:\n a = 1\n def f(self): ...\n g = f\n __hash__ = None\n b: int\n c = 2\n"
    assert late_declarations(text) == ["A.b", "A.c"]
