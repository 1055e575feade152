"""``flwr new``: write a working app from a template of this package; no network."""

import re
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer

from flwr.cli.options import FormatOpt
from flwr.cli.report import Output, reporting
from flwr.core.errors import AlreadyExistsError, InvalidError, UnimplementedError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}", re.ASCII)
_PUBLISHER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_PACKAGE_DIR: Final = "package"
_RENAMED: Final = {"gitignore": ".gitignore"}


class Template(StrEnum):
    """What the new app starts from."""

    NUMPY = "numpy"
    SKLEARN = "sklearn"


NameArg = Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the app and its folder.")]
TemplateOpt = Annotated[
    Template,
    typer.Option("--template", "--framework", case_sensitive=False, help="What to start from."),
]
PublisherOpt = Annotated[
    str, typer.Option("--publisher", "--username", help="Who publishes the app.")
]


def new(
    name: NameArg = "my-app",
    template: TemplateOpt = Template.NUMPY,
    publisher: PublisherOpt = "demo",
    output: FormatOpt = Output.TEXT,
) -> None:
    """Write a new app into a folder of its name."""
    with reporting(output) as report:
        if name.startswith("@"):
            raise UnimplementedError(
                f"{name}: apps from a hosted hub are not supported",
                hint="start from a template: flwr new NAME --template numpy",
            )
        target = Path(name)
        written = write_app(target, template, publisher)
        report.result(
            {
                "success": True,
                "path": str(target.absolute()),
                "template": str(template),
                "files": written,
            },
            text=(
                f"Created {target}/ from the template {template}.  Run it with:\n\n"
                f"  cd {target}\n  pip install -e .\n  flwr run . --stream\n"
            ),
        )


def write_app(target: Path, template: Template, publisher: str) -> list[str]:
    """Write the files of ``template`` below ``target``; return their relative paths.

    Raises:
        InvalidError: the name or the publisher cannot be used.
        AlreadyExistsError: ``target`` exists.
    """
    name = target.name
    if not _NAME.fullmatch(name) or not _PUBLISHER.fullmatch(publisher):
        raise InvalidError(
            f"an app named {name!r} by {publisher!r} cannot be published",
            hint="use a letter, then letters, digits and hyphens, 32 characters at most",
        )
    if target.exists():
        raise AlreadyExistsError(f"{target} exists", hint="choose another name: flwr new NAME")
    package = name.replace("-", "_").lower()
    source = files("flwr.cli") / "templates" / template.value
    words = {"__APP_NAME__": name, "__PACKAGE__": package, "__PUBLISHER__": publisher}
    texts = {
        path.replace(f"{_PACKAGE_DIR}/", f"{package}/", 1): _fill(text, words)
        for path, text in _read_tree(source, "")
    }
    for path, text in texts.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text)
    return sorted(texts)


def _read_tree(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for item in folder.iterdir():
        if item.name == "__pycache__":
            continue
        if item.is_dir():
            found += _read_tree(item, f"{prefix}{item.name}/")
        else:
            found.append((f"{prefix}{_RENAMED.get(item.name, item.name)}", item.read_text()))
    return found


def _fill(text: str, words: dict[str, str]) -> str:
    for placeholder, word in words.items():
        text = text.replace(placeholder, word)
    return text
