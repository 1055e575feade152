"""An app of two files and no project: the project is generated.

The files become modules side by side, under their own names, so one may import the other.  The
version is made of their content: an equal app has an equal version, hence an equal bundle.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tomli_w

from flwr.core.run_config import Config
from flwr.fab.inline_source import (
    CLIENT,
    SERVER,
    InlineAppError,
    InlineSource,
    file_of,
    read_source,
)
from flwr.fab.verify import PYPROJECT

PUBLISHER: Final = "inline"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}", re.ASCII)  # what every runtime accepts
_MAX_NAME: Final = 32  # characters
_VERSION_DIGITS: Final = 12  # hex, of a SHA-256
_REQUIREMENT: Final = re.compile(r"[A-Za-z0-9][\x20-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineApp:
    """What a user says instead of writing a project."""

    serverapp: InlineSource
    clientapp: InlineSource
    name: str
    config: Config = field(default_factory=dict)  # flat; declared and set at once
    dependencies: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Version by content."""
        told = [
            *(
                (s.path.name, s.attribute, s.content.hex())
                for s in (self.serverapp, self.clientapp)
            ),
            (self.name, sorted(self.config.items()), self.dependencies),
        ]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return f"0.0.0+{digest[:_VERSION_DIGITS]}"


def read_inline_app(
    serverapp: str,
    clientapp: str,
    *,
    name: str = "",
    config: Config | None = None,
    dependencies: tuple[str, ...] = (),
) -> InlineApp:
    """Read the two files; nothing in them is executed.

    Args:
        serverapp: ``FILE.py:OBJECT`` of the ServerApp.
        clientapp: the same of the ClientApp, in another file.
        name: of the app; empty: made of the names of the files.
        config: its run configuration.  There is no project that declares keys: these are all.
        dependencies: Python packages it needs, as in ``[project] dependencies``.

    Raises:
        InlineAppError: a file, an object, the name or a dependency cannot be used.
    """
    if file_of(serverapp).resolve() == file_of(clientapp).resolve():
        raise InlineAppError(
            f"{SERVER.option} and {CLIENT.option} name the same file {file_of(serverapp).name}",
            hint="put each object into a file of its own, or make a project: flwr new",
        )
    server, client = read_source(serverapp, SERVER), read_source(clientapp, CLIENT)
    if server.module.lower() == client.module.lower():
        raise InlineAppError(
            f"both files are called {server.path.name}", hint="rename one: they lie side by side"
        )
    _check_neighbours(server, client)
    _check_dependencies(dependencies)
    return InlineApp(
        serverapp=server,
        clientapp=client,
        name=_checked(name) if name else _derived(f"{server.module}-{client.module}"),
        config=config or {},
        dependencies=dependencies,
    )


def write_project(app: InlineApp, folder: Path) -> None:
    """Write the project of ``app`` into the empty ``folder``."""
    for source in (app.serverapp, app.clientapp):
        (folder / source.path.name).write_bytes(source.content)
    files = f"{app.serverapp.path.name} and {app.clientapp.path.name}"
    document: dict[str, Any] = {
        "project": {
            "name": app.name,
            "version": app.version,
            "description": f"Inline app of {files}",
            "dependencies": list(app.dependencies),
        },
        "tool": {
            "flwr": {
                "app": {
                    "publisher": PUBLISHER,
                    "components": {
                        "serverapp": str(app.serverapp.entry),
                        "clientapp": str(app.clientapp.entry),
                    },
                    "config": app.config,
                }
            }
        },
    }
    (folder / PYPROJECT).write_text(tomli_w.dumps(document))


def _check_neighbours(server: InlineSource, client: InlineSource) -> None:
    """Refuse a file that needs a third one: it would be missing where the app runs."""
    for source in (server, client):
        for name in sorted(source.imports - {server.module, client.module, "flwr"}):
            beside = source.path.parent / name
            if beside.with_suffix(".py").is_file() or (beside / "__init__.py").is_file():
                raise InlineAppError(
                    f"{source.path.name} imports {name!r}, which lies beside it; "
                    "an inline app has two files",
                    hint="move what it needs into the two files, or make a project: flwr new",
                )


def _check_dependencies(dependencies: tuple[str, ...]) -> None:
    for requirement in dependencies:
        if not _REQUIREMENT.fullmatch(requirement):
            raise InlineAppError(
                f"--dependency {requirement[:80]!r} names no package",
                hint="write it as in [project] dependencies: --dependency 'scikit-learn>=1.5'",
            )


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InlineAppError(
            f"--name {name[:80]!r} is not allowed",
            hint=f"take a letter, then letters, digits and hyphens, {_MAX_NAME} characters at most",
        )
    return name


def _derived(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")
    name = name if name[:1].isalpha() else f"app-{name}"
    return name[:_MAX_NAME].rstrip("-")
