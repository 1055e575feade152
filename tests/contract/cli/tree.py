"""The commands of ``flwr`` as typer knows them."""

from collections.abc import Iterator
from typing import Any

import typer

from flwr.cli.main import make_app


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command a user is shown, with its words, in the order of the help."""
    root: Any = typer.main.get_command(make_app()) if group is None else group
    for name, command in root.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def groups(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the words of every command that only has commands below it."""
    root: Any = typer.main.get_command(make_app()) if group is None else group
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            yield " ".join((*path, name))
            yield from groups(command, (*path, name))


def options(command: Any) -> set[str]:
    """Return the names of a command's options."""
    return {
        option
        for parameter in command.params
        for option in (*parameter.opts, *getattr(parameter, "secondary_opts", ()))
    }


def required(command: Any) -> list[bool]:
    """Tell of each argument of a command whether it must be given."""
    return [p.required for p in command.params if not p.opts[0].startswith("-")]
