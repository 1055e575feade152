"""What a look at one thing ends with, and how programs are asked without ever hanging."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

PATIENCE_S: Final = 30.0


class State(StrEnum):
    """How a look ended."""

    FINE = "fine"
    FINDING = "finding"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """One thing that was looked at."""

    name: str
    state: State
    text: str
    remedy: str = ""  # the one command or edit that mends it


def fine(name: str, text: str) -> Result:
    """Nothing has to be done."""
    return Result(name, State.FINE, text)


def finding(name: str, text: str, remedy: str) -> Result:
    """Something has to be done, and this is it."""
    return Result(name, State.FINDING, text, remedy)


def skipped(name: str, why: str) -> Result:
    """It could not be looked at."""
    return Result(name, State.SKIPPED, why)


@dataclass(frozen=True)
class Answer:
    """What a program said."""

    code: int | None  # None: it is not installed or did not end in time
    out: str
    err: str

    @property
    def is_good(self) -> bool:
        """Whether the program did what it was asked."""
        return self.code == 0

    def last_line(self) -> str:
        """Return the end of what it complained about."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def documents(self) -> Iterator[dict[str, Any]]:
        """Read one JSON document a line, as docker prints them."""
        for line in self.out.splitlines():
            if line.strip():
                yield json.loads(line)


def ask(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
) -> Answer:
    """Run a program without input and return what it said."""
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
        )
    except OSError as error:
        return Answer(None, "", f"{argv[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"{argv[0]} did not answer within {patience_s:.0f} s")
    return Answer(done.returncode, done.stdout, done.stderr)
