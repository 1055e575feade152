"""What apps made of their rounds: taken from what they print, and compared.

``play`` runs apps with a release of flwr in one process (see ``in_process.py``); the other
functions read what any engine printed.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tests.harness.toolset import ROOT, Toolset
from tests.interop.app_list import InteropApp

PROGRAM: Final = ROOT / "tests" / "interop" / "in_process.py"
PRINTED: Final = re.compile(r"^(outcome|model|fit|evaluate|known|losses|round)\b.*$", re.MULTILINE)
_COLOUR: Final = re.compile(r"\033\[\d+m")
_SECONDS: Final = re.compile(r"(, )[\d.e-]+(\)$)|( in )[\d.]+s$", re.MULTILINE)
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_LOGGED: Final = re.compile(r"^(DEBUG|INFO|WARNING|ERROR) +:")


@dataclass(frozen=True)
class Played:
    """One app, run to its end."""

    printed: str
    wire: Sequence[str]


def play(
    tools: Toolset, apps: Iterable[InteropApp], result: Path, **config: object
) -> list[Played]:
    """Run apps one after the other in one process of a release; ``config`` overrides theirs."""
    specs = [[str(app.folder), app.nodes, {**app.config, **config}] for app in apps]
    done = subprocess.run(
        [tools.program("python"), "-W", "ignore", str(PROGRAM), str(result), json.dumps(specs)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [Played(**played) for played in json.loads(result.read_text())]


def plain(text: str) -> str:
    """Return ``text`` without colours and times; the history's first line is indented anywhere."""
    text = _COLOUR.sub("", text).replace("INFO :      History", "INFO :      \tHistory")
    return _SECONDS.sub(r"\1TIME\2\3", text)


def results_in(text: str) -> list[str]:
    """Return what an app printed about its results, and the history that was logged."""
    printed = [match.group(0) for match in PRINTED.finditer(plain(text))]
    _, _, summary = plain(text).partition("[SUMMARY]")
    history = [line for line in summary.splitlines() if line.startswith("INFO :      \t")]
    return printed + history


def lines_in(text: str, without: Sequence[str]) -> list[str]:
    """Return all that was printed and logged, but for log lines with one of these words."""
    kept: list[str] = []
    is_dropped = False
    for line in plain(text).splitlines():
        if _LOGGED.match(line) or PRINTED.match(line):
            is_dropped = any(word in line for word in without)
        if not is_dropped:  # a log line's further lines share its fate
            kept.append(line)
    return kept


def assert_equal(ours: Sequence[str], theirs: Sequence[str], tolerance: float) -> None:
    """Compare lines; with a tolerance, the numbers in them may differ by that part."""
    if not tolerance:
        assert ours == theirs
        return
    for line, wanted in zip(ours, theirs, strict=True):
        assert _NUMBER.sub("#", line) == _NUMBER.sub("#", wanted)
        np.testing.assert_allclose(
            [float(number) for number in _NUMBER.findall(line)],
            [float(number) for number in _NUMBER.findall(wanted)],
            rtol=tolerance,
            atol=tolerance,
            err_msg=f"{line[:500]}\n{wanted[:500]}",
        )
