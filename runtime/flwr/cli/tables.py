"""Tables on the user's terminal: what identifies a thing is never broken over lines."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from flwr.control.terminal import printable

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_IN_PIPES: Final = 240  # columns; rich would cut tables at 80 when nobody looks
_SAID_OF_TERMINALS: Final = frozenset({"FORCE_COLOR", "TTY_COMPATIBLE"})  # rich heeds them
_GAP: Final = 2  # character cells between two columns
_WHOLE: Final = frozenset({"Status", "Elapsed", "Role", "Runtime"})  # besides the first column


def wants_colours() -> bool:
    """Tell whether standard output is a terminal that shows colours."""
    if not sys.stdout.isatty() and not _SAID_OF_TERMINALS & os.environ.keys():
        return False
    from rich.console import Console  # noqa: PLC0415 - rich only when something is printed

    console = Console(file=sys.stdout)
    return console.color_system is not None and not console.no_color


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    colours: Sequence[str] = (),
    spare: str = "",
) -> None:
    """Print a table on standard output; see ``Report.table``."""
    from rich.console import Console  # noqa: PLC0415 - rich only when something is printed

    terminal = Console(file=sys.stdout)
    console = terminal if terminal.is_terminal else Console(file=sys.stdout, width=_WIDTH_IN_PIPES)
    clean = [[printable(cell) for cell in row] for row in rows]
    said_below = ""
    if spare in headings and _width(headings, clean) > console.width:
        index = headings.index(spare)
        said = {row[index] for row in clean}
        if len(said) == 1:
            said_below = f"{spare}: {said.pop()}"
            headings = [each for each in headings if each != spare]
            clean = [[*row[:index], *row[index + 1 :]] for row in clean]
    console.print(_table(headings, clean, title, colours))
    if said_below:
        console.print(said_below, highlight=False)


def _width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    columns = zip(headings, *rows, strict=True)
    return sum(max(map(len, column)) + _GAP for column in columns) - _GAP


def _table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], title: str, colours: Sequence[str]
) -> "Table":
    from rich import box  # noqa: PLC0415 - rich only when something is printed
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_header=any(headings),
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),  # the box puts one between columns,
    )
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=number == 0 or heading in _WHOLE)
    for index, row in enumerate(rows):
        style = colours[index] if index < len(colours) else ""
        table.add_row(*(Text(cell, style=style) for cell in row))
    return table
