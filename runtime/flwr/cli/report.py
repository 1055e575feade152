"""What a command says: text for people, or exactly one JSON document; and its exit code.

Standard output carries the result and nothing else; progress and warnings go to standard error.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final

import typer

from flwr.control.terminal import printable
from flwr.core.errors import FlwrError
from flwr.shell.exits import exit_code_of

_WIDTH_IN_PIPES: Final = 240  # columns; rich would cut tables at 80 when nobody looks
_INTERRUPTED: Final = 130  # 128 + SIGINT, what shells expect


class Output(StrEnum):
    """Form of a command's result."""

    TEXT = "text"
    JSON = "json"


class Report:
    """Collects a command's result and prints it in the wanted form."""

    def __init__(self, output: Output) -> None:
        self.output = output

    @property
    def is_json(self) -> bool:
        """True when standard output belongs to one JSON document."""
        return self.output is Output.JSON

    def result(self, document: Mapping[str, Any], *, text: str = "") -> None:
        """Print the result: the document in JSON form, else ``text``."""
        if self.is_json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        elif text:
            sys.stdout.write(f"{printable(text)}\n")
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """Print a line of a text result; nothing in JSON form."""
        if not self.is_json:
            sys.stdout.write(f"{printable(text)}\n")
            sys.stdout.flush()

    def log_text(self, text: str) -> None:
        """Print a piece of a run's log as it is; beside the document in JSON form."""
        stream = sys.stderr if self.is_json else sys.stdout
        stream.write(text)
        stream.flush()

    def note(self, text: str) -> None:
        """Tell progress or a warning on standard error."""
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()

    def table(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        title: str = "",
        colours: Sequence[str] = (),
    ) -> None:
        """Print a table of a text result; ``colours`` gives each row's status colour."""
        if not self.is_json:
            _print_table(headings, rows, title=title, colours=colours)

    def failure(self, error: FlwrError) -> None:
        """Print an expected failure: what happened, what to do."""
        facts = getattr(error, "facts", {})
        if self.is_json:
            document = {**facts, "success": False, "error-message": error.message}
            if error.hint:
                document["hint"] = error.hint
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
            return
        sys.stderr.write(f"Error: {printable(error.message)}\n")
        if error.hint:
            sys.stderr.write(f"  what to do: {printable(error.hint)}\n")


@contextmanager
def reporting(output: Output) -> Iterator[Report]:
    """Turn an expected failure of the block into its report and exit code."""
    report = Report(output)
    try:
        yield report
    except FlwrError as error:
        report.failure(error)
        raise typer.Exit(int(exit_code_of(error))) from error
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(_INTERRUPTED) from interrupt


def wants_colours() -> bool:
    """Tell whether standard output is a terminal that shows colours."""
    from rich.console import Console  # noqa: PLC0415 - rich only when something is printed

    return Console(file=sys.stdout).color_system is not None


def _print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str,
    colours: Sequence[str],
) -> None:
    from rich import box  # noqa: PLC0415 - rich only when something is printed
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    terminal = Console(file=sys.stdout)
    console = terminal if terminal.is_terminal else Console(file=sys.stdout, width=_WIDTH_IN_PIPES)
    table = Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(headings)
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for index, row in enumerate(rows):
        style = colours[index] if index < len(colours) else ""
        table.add_row(*(Text(printable(cell), style=style) for cell in row))
    console.print(table)
