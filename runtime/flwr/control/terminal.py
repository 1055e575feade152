"""Text from elsewhere made safe for the user's terminal: colours may pass, commands may not."""

import re
from typing import Final

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m", re.ASCII)
# Every other escape sequence, then every control character but tab and line feed.
_SEQUENCE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]",
    re.ASCII | re.DOTALL,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*)?$", re.ASCII)
_LONGEST_UNFINISHED: Final = 64  # characters


def printable(text: str, *, colours: bool = False) -> str:
    """Return ``text`` without terminal commands; colours stay only if ``colours``."""
    pieces = _COLOUR.split(text)
    marks = _COLOUR.findall(text) if colours else [""] * (len(pieces) - 1)
    clean = [_CONTROL.sub("", _SEQUENCE.sub("", piece)) for piece in pieces]
    return "".join(a + b for a, b in zip(clean, [*marks, ""], strict=True))


class LogText:
    """Makes chunks of a log printable, sequences cut in two by the chunking included."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours
        self._held = ""

    def feed(self, chunk: str) -> str:
        """Return what of the text so far can be printed now."""
        text = self._held + chunk
        cut = _UNFINISHED.search(text)
        end = cut.start() if cut and len(text) - cut.start() <= _LONGEST_UNFINISHED else len(text)
        self._held = text[end:]
        return printable(text[:end], colours=self._colours)
