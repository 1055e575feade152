"""One file of an inline app, ``server.py:app``: found and understood without executing it."""

import ast
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.core.errors import InvalidError
from flwr.fab.entry import EntryReference, defined_names

_TAKEN: Final = frozenset({"flwr", "numpy"})  # what every app process imports first
_TEST: Final = re.compile(r"test_.*|.*_test")
_SHOWN: Final = 8  # names


class InlineAppError(InvalidError):
    """A file of an inline app, or what was said of it, cannot be used."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which of the two objects is meant."""

    option: str
    class_name: str


SERVER: Final = Kind("--server-app", "ServerApp")
CLIENT: Final = Kind("--client-app", "ClientApp")


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineSource:
    """A file that was read, the name it is imported by, and the object in it."""

    path: Path
    content: bytes
    attribute: str
    imports: frozenset[str]  # top-level names it imports, wherever they come from

    @property
    def module(self) -> str:
        """Name of the file as a module."""
        return self.path.stem

    @property
    def entry(self) -> EntryReference:
        """How the generated project names the object."""
        return EntryReference(self.module, self.attribute)


def file_of(text: str) -> Path:
    """Return the file that ``FILE.py:OBJECT`` names."""
    file, colon, _ = text.rpartition(":")
    return Path(file if colon else text).expanduser().absolute()


def read_source(text: str, kind: Kind) -> InlineSource:
    """Read what ``FILE.py:OBJECT`` names.

    Raises:
        InlineAppError: no such file or object, no valid Python, or a name nobody can import.
    """
    path, (_, colon, attribute) = file_of(text), text.rpartition(":")
    if not path.is_file():
        raise InlineAppError(
            f"{kind.option} {text}: there is no file {path}",
            hint=f"name the file and the object in it: {kind.option} FILE.py:OBJECT",
        )
    _check_name(path, kind)
    content = path.read_bytes()
    tree = _parse(content, path, kind)
    if not colon or attribute not in set(defined_names(tree.body)):
        raise _object_missing(tree, path, attribute if colon else "", kind)
    made_by = dict(_made_objects(tree)).get(attribute)
    other = CLIENT if kind is SERVER else SERVER
    if made_by == other.class_name:
        raise InlineAppError(
            f"{kind.option} {text}: {attribute!r} is a {other.class_name}",
            hint=f"exchange {kind.option} and {other.option}",
        )
    imports = frozenset(_imported_names(tree, path, kind))
    return InlineSource(path=path, content=content, attribute=attribute, imports=imports)


def _check_name(path: Path, kind: Kind) -> None:
    name = path.stem
    why = ""
    if path.suffix != ".py":
        why = "is no Python file (.py)"
    elif not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        why = "cannot be imported by this name"
    elif name in sys.stdlib_module_names or name in _TAKEN:
        why = f"would hide the module {name!r} that Python or Flower needs"
    elif _TEST.fullmatch(name):
        why = "has the name of a test, which no bundle takes"
    if why:
        raise InlineAppError(
            f"{kind.option} {path.name}: the file {why}",
            hint="rename it, to server_app.py for example",
        )


def _parse(content: bytes, path: Path, kind: Kind) -> ast.Module:
    try:
        return ast.parse(content, filename=path.name)
    except SyntaxError as cause:
        raise InlineAppError(
            f"{kind.option}: {path} is no valid Python: line {cause.lineno}: {cause.msg}",
            hint="correct that line",
        ) from cause
    except (ValueError, RecursionError, MemoryError) as cause:
        raise InlineAppError(f"{kind.option}: {path} is no valid Python: {cause}") from cause


def _object_missing(tree: ast.Module, path: Path, attribute: str, kind: Kind) -> InlineAppError:
    """Tell which objects there are: those of the wanted class first."""
    made = dict(_made_objects(tree))
    wanted = [name for name, maker in made.items() if maker == kind.class_name]
    some = wanted or [name for name in dict.fromkeys(defined_names(tree.body)) if name in made]
    what = f"does not define {attribute!r}" if attribute else "is given without an object"
    found = f"{kind.class_name} objects in it" if wanted else "objects in it"
    return InlineAppError(
        f"{kind.option}: {path.name} {what}; {found}: {', '.join(some[:_SHOWN]) or 'none'}",
        hint=f"{kind.option} {path.name}:{some[0]}"
        if some
        else f"define one at the file's top level: app = {kind.class_name}(...)",
    )


def _made_objects(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that the top level assigns, and the class that is called for each."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        maker = value.func if isinstance(value, ast.Call) else None
        name = str(getattr(maker, "attr", "") or getattr(maker, "id", ""))
        yield from ((target.id, name) for target in targets if isinstance(target, ast.Name))


def _imported_names(tree: ast.Module, path: Path, kind: Kind) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".", 1)[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise InlineAppError(
                f"{kind.option}: {path.name} line {node.lineno} imports relative to a package, "
                "which an inline app is not",
                hint="import the other file by its name, or make a project: flwr new",
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".", 1)[0]
