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

from flwr.cli.tables import print_table
from flwr.control.terminal import printable
from flwr.core.errors import FlwrError
from flwr.shell.exits import exit_code_of

_INDENT: Final = 2  # as upstream's command prints
INTERRUPTED: Final = 130  # 128 + SIGINT, what shells expect


class Output(StrEnum):
    """Form of a command's result."""

    TEXT = "text"
    JSON = "json"


class Report:
    """Collects a command's result and prints it in the wanted form.

    Args:
        output: that form.
        in_lines: JSON documents of one line each, for a command that prints several.
    """

    def __init__(self, output: Output, *, in_lines: bool = False) -> None:
        self.output = output
        self._in_lines = in_lines

    @property
    def is_json(self) -> bool:
        """True when standard output belongs to one JSON document."""
        return self.output is Output.JSON

    def result(self, document: Mapping[str, Any], *, text: str = "") -> None:
        """Print the result: the document in JSON form, else ``text``."""
        if self.is_json:
            print_document(document, in_one_line=self._in_lines)
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
        empty: str = "",
        spare: str = "",
    ) -> None:
        """Print a table of a text result.

        Args:
            headings: of the columns; all empty: there is no head.
            rows: of cells.
            title: above it.
            colours: of each row's status.
            empty: what to say instead when there are no rows.
            spare: heading of a column to leave out on a narrow terminal, if all rows say the same
                there, which is then said below.
        """
        if self.is_json:
            return
        if not rows and empty:
            self.line(empty)
            return
        print_table(headings, rows, title=title, colours=colours, spare=spare)

    def failure(self, error: FlwrError) -> None:
        """Print an expected failure: what happened, what to do."""
        facts = getattr(error, "facts", {})
        if self.is_json:
            document = {**facts, **failure_document(error.message)}
            if error.hint:
                document["hint"] = error.hint
            print_document(document, in_one_line=self._in_lines)
            return
        sys.stderr.write(f"Error: {printable(error.message)}\n")
        if error.hint:
            sys.stderr.write(f"  what to do: {printable(error.hint)}\n")


@contextmanager
def reporting(output: Output, *, in_lines: bool = False) -> Iterator[Report]:
    """Turn an expected failure of the block into its report and exit code."""
    report = Report(output, in_lines=in_lines)
    try:
        yield report
    except FlwrError as error:
        report.failure(error)
        raise typer.Exit(int(exit_code_of(error))) from error
    except KeyboardInterrupt as interrupt:
        if report.is_json:
            report.result(failure_document("interrupted"))
        raise typer.Exit(INTERRUPTED) from interrupt


def failure_document(message: str) -> dict[str, Any]:
    """Return what is printed in JSON form when there is no result."""
    return {"success": False, "error-message": message}


def print_document(document: Mapping[str, Any], *, in_one_line: bool = False) -> None:
    """Print one JSON document on standard output."""
    indent = None if in_one_line else _INDENT
    sys.stdout.write(json.dumps(document, indent=indent, ensure_ascii=False) + "\n")
    sys.stdout.flush()
