"""``flwr new``: write a working app from a template of this package; no network."""

import re
import sys
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer

from flwr.cli.options import FormatOpt
from flwr.cli.report import Output, Report, reporting
from flwr.core.errors import AlreadyExistsError, InvalidError, UnimplementedError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}", re.ASCII)
_PUBLISHER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_DEFAULT_NAME: Final = "my-app"
_PACKAGE_DIR: Final = "package"
_RENAMED: Final = {"gitignore": ".gitignore"}


class Template(StrEnum):
    """What the new app starts from."""

    NUMPY = "numpy"
    SKLEARN = "sklearn"
    PYTORCH = "pytorch"
    XGBOOST = "xgboost"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class About:
    """What a template says of itself."""

    template: Template
    description: str
    needs: tuple[str, ...]  # packages


NameArg = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help=f"Name of the app and its folder; left out: {_DEFAULT_NAME}."
    ),
]
TemplateOpt = Annotated[
    Template | None,
    typer.Option(
        "--template",
        "--framework",
        case_sensitive=False,
        help=f"What to start from; left out: {Template.NUMPY}.",
    ),
]
PublisherOpt = Annotated[
    str, typer.Option("--publisher", "--username", help="Who publishes the app.")
]
ListOpt = Annotated[bool, typer.Option("--list", help="List the templates, make no app.")]


def new(
    name: NameArg = None,
    template: TemplateOpt = None,
    publisher: PublisherOpt = "demo",
    list_templates: ListOpt = False,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Write a new app into a folder of its name.

    No network is needed.  On a terminal, what is left out is asked for.
    """
    with reporting(output) as report:
        if list_templates:
            _report_templates(report)
            return
        if name is not None and name.startswith("@"):
            raise UnimplementedError(
                f"{name}: apps from a hosted hub are not supported",
                hint="start from a template: flwr new NAME --template numpy; flwr new --list",
            )
        if name is None and template is None and not report.is_json and _is_asked():
            _report_templates(report)
            template = _ask_template()
            name = typer.prompt("Name of the app", default=_DEFAULT_NAME)
        chosen, target = template or Template.NUMPY, Path(name or _DEFAULT_NAME)
        written = write_app(target, chosen, publisher)
        report.result(
            {
                "success": True,
                "path": str(target.absolute()),
                "template": str(chosen),
                "files": written,
            },
            text=(
                f"Created {target}/ from the template {chosen}.  Run it with:\n\n"
                f"  cd {target}\n  pip install -e .\n  flwr run . --stream\n"
            ),
        )


def about_templates() -> list[About]:
    """Return what there is to start from."""
    found = []
    for template in Template:
        project = tomllib.loads((_source(template) / "pyproject.toml").read_text())["project"]
        found.append(About(template, project["description"], tuple(project["dependencies"])))
    return found


def _report_templates(report: Report) -> None:
    found = about_templates()
    report.table(
        ("Template", "Needs", "Makes"),
        [(each.template, ", ".join(map(_bare, each.needs)), each.description) for each in found],
    )
    report.result(
        {
            "success": True,
            "templates": [
                {
                    "name": str(each.template),
                    "description": each.description,
                    "dependencies": list(each.needs),
                }
                for each in found
            ],
        }
    )


def _bare(requirement: str) -> str:
    return re.split(r"[<>=!~ ;\[]", requirement, maxsplit=1)[0]


def _is_asked() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask_template() -> Template:
    while True:
        said: str = typer.prompt("Template", default=str(Template.NUMPY))
        if said.lower() in set(Template):
            return Template(said.lower())
        typer.echo(f"There is no template {said!r}.")


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
    source = _source(template)
    words = {"__APP_NAME__": name, "__PACKAGE__": package, "__PUBLISHER__": publisher}
    texts = {
        path.replace(f"{_PACKAGE_DIR}/", f"{package}/", 1): _fill(text, words)
        for path, text in _read_tree(source, "")
    }
    for path, text in texts.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text)
    return sorted(texts)


def _source(template: Template) -> Traversable:
    return files("flwr.cli") / "templates" / template.value


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
