"""What ClientApps print under Ray: read where Ray keeps it, shown where the run prints.

Ray itself would show it late, and not at all when the run ends first.
"""

import os
import sys
from pathlib import Path
from typing import BinaryIO, Final

Printed = tuple[str, str]  # to standard output, to standard error
MOST_BYTES: Final = 1_048_576  # of a stream at a time; what is beyond stays in Ray's files
_STREAMS: Final = ("/proc/self/fd/1", "/proc/self/fd/2")


class Output:
    """The standard streams of this process, from now on; empty where they are no files."""

    def __init__(self) -> None:
        self._files = [_open_end(Path(stream)) for stream in _STREAMS]

    def take(self) -> Printed:
        """Return what was written since the last time."""
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = (_read_on(file) for file in self._files)
        return out, err


def show(printed: Printed) -> None:
    """Write it to the streams of this process."""
    for text, stream in zip(printed, (sys.stdout, sys.stderr), strict=True):
        if text:
            stream.write(text)
            stream.flush()


def _open_end(stream: Path) -> BinaryIO | None:
    if not stream.is_file():
        return None
    file = stream.open("rb")
    file.seek(0, os.SEEK_END)
    return file


def _read_on(file: BinaryIO | None) -> str:
    if file is None:
        return ""
    text = file.read(MOST_BYTES).decode(errors="backslashreplace")
    if len(text) < MOST_BYTES:
        return text
    read_to = file.tell()
    left_out = file.seek(0, os.SEEK_END) - read_to
    return f"{text}\n[{left_out} bytes left out]\n" if left_out else text
