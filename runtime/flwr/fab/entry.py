"""References to an app's objects, ``module:attribute``, resolved without importing anything.

A module must be a file of the app itself: a reference into the standard library or an installed
package is refused.
"""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.fab.errors import AppEntryError

_ENTRY: Final = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<attribute>\w+(?:\.\w+)*)", re.ASCII)
_MAX_ENTRY: Final = 255  # characters
_COMPOUND: Final = (ast.If, ast.Try, ast.With, ast.For, ast.While)


@dataclass(frozen=True, slots=True)
class EntryReference:
    """Where an app object lives."""

    module: str
    attribute: str  # may be dotted

    def __str__(self) -> str:
        """Return the form users write."""
        return f"{self.module}:{self.attribute}"

    @property
    def candidates(self) -> tuple[str, str]:
        """Relative POSIX paths of the files that may define the module."""
        path = self.module.replace(".", "/")
        return f"{path}.py", f"{path}/__init__.py"


def parse_entry(text: str) -> EntryReference:
    """Read ``module:attribute``.

    Raises:
        AppEntryError: it has another form.
    """
    match = _ENTRY.fullmatch(text) if len(text) <= _MAX_ENTRY else None
    if match is None:
        raise AppEntryError(text[:_MAX_ENTRY], 'it must have the form "module:attribute"')
    return EntryReference(match["module"], match["attribute"])


def module_path(entry: EntryReference, files: Collection[str]) -> str:
    """Return which of the app's ``files`` (relative POSIX paths) defines the entry's module.

    Raises:
        AppEntryError: none does.
    """
    for candidate in reversed(entry.candidates):  # a package wins over a module, as in Python
        if candidate in files:
            return candidate
    raise AppEntryError(str(entry), f"the app has no module {entry.module!r}")


def check_entry(entry: EntryReference, app_dir: Path) -> Path:
    """Check that ``entry`` names something inside ``app_dir``; return the module's file.

    The module is parsed, never imported.

    Raises:
        AppEntryError: no such module, no valid Python, or the attribute is not defined in it.
    """
    present = [name for name in entry.candidates if (app_dir / name).is_file()]
    path = app_dir / module_path(entry, present)
    try:
        tree = ast.parse(path.read_bytes(), filename=path.name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as cause:
        raise AppEntryError(str(entry), f"{path.name} is no valid Python: {cause}") from cause
    wanted = entry.attribute.split(".", 1)[0]
    if wanted not in set(defined_names(tree.body)):
        raise AppEntryError(str(entry), f"{entry.module} does not define {wanted!r}")
    return path


def defined_names(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements of a module's top level define, as far as one can see."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from (a.asname or a.name.split(".", 1)[0] for a in statement.names)
        elif isinstance(statement, ast.Assign):
            yield from _assigned_names(statement.targets)
            yield from _exported_names(statement)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield from _assigned_names([statement.target])
        elif isinstance(statement, _COMPOUND):
            for block in ("body", "orelse", "finalbody"):
                yield from defined_names(getattr(statement, block, []))


def _assigned_names(targets: list[ast.expr]) -> Iterator[str]:
    for target in targets:
        yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _exported_names(statement: ast.Assign) -> Iterator[str]:
    if "__all__" in _assigned_names(statement.targets):
        yield from (
            node.value
            for node in ast.walk(statement.value)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
