"""The checkout of flwr-compose: compose files, images and keys are made from it, not from a wheel.

It is found, in this order, by the argument ``checkout=``, by the variable ``FLWR_COMPOSE_HOME``,
above the installed package (an editable install), above the current folder.
"""

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import flwr
from flwr.core.errors import ErrorKind
from flwr.sdk.errors import CheckoutNotFoundError, ToolError, ToolTimeoutError

logger = logging.getLogger(__name__)

VARIABLE: Final = "FLWR_COMPOSE_HOME"
_MARKS: Final = ("compose/server.yaml", "images/build.py", "certs/pki.py")
_HINT: Final = (
    f"get the sources of flwr-compose and name their folder: checkout=..., or {VARIABLE}=..."
)
_SAID: Final = re.compile(
    r"error: (?P<message>.+?)(?:\n  (?:next|what to do): (?P<hint>.+?))?\s*\Z", re.DOTALL
)
# Exit codes that all tools of the checkout share.
_KINDS: Final[Mapping[int, ErrorKind]] = {
    2: ErrorKind.INVALID,
    3: ErrorKind.UNAVAILABLE,
    4: ErrorKind.FAILED_PRECONDITION,
    6: ErrorKind.FAILED_PRECONDITION,
}
_TERM_S: Final = 5.0  # SIGTERM to SIGKILL of a tool
_OURS: Final = ("FLWR_", "COMPOSE_")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with the sources of flwr-compose."""

    root: Path

    @property
    def compose(self) -> Path:
        """Where the compose files are."""
        return self.root / "compose"

    @property
    def certificates(self) -> Path:
        """Where ``make certs`` keeps keys and certificates."""
        return self.root / ".state" / "certs"

    def run(
        self, tool: str, *args: str, timeout: float, env: Mapping[str, str] | None = None
    ) -> str:
        """Run one of its tools and return what it prints; its progress is logged.

        Args:
            tool: path below the root.
            args: no secrets: every user of the machine can read them.
            timeout: seconds after which the tool, and what it started, is ended.
            env: variables it sees; None: all of this process.

        Raises:
            ToolError: it failed; its own words.
            ToolTimeoutError: it took too long.
        """
        command = [sys.executable, str(self.root / tool), *args]
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            said: list[str] = []
            reader = threading.Thread(target=_log_lines, args=(process.stderr, said), daemon=True)
            reader.start()
            with _ended(process, tool, timeout) as ended:
                assert process.stdout is not None
                printed = process.stdout.read()
                reader.join()
                process.wait()
        if ended:
            raise ToolTimeoutError(tool, timeout)
        if process.returncode != 0:
            raise _failure(tool, process.returncode, "".join(said))
        return printed


def find_checkout(checkout: Path | str | None = None) -> Checkout:
    """Return the checkout to use.

    Args:
        checkout: its folder; None: look for it (see this module's first lines).

    Raises:
        CheckoutNotFoundError: there is none where it was said to be, or nowhere.
    """
    named = [(checkout, "checkout="), (os.environ.get(VARIABLE), VARIABLE)]
    for given, said in named:
        if given:
            root = Path(given).expanduser().absolute()
            if not _is_checkout(root):
                missing = next(mark for mark in _MARKS if not (root / mark).is_file())
                raise CheckoutNotFoundError(
                    f"{root} ({said}) is no checkout of flwr-compose: it has no {missing}",
                    hint=_HINT,
                )
            return Checkout(root)
    for start in (Path(flwr.__file__).resolve(), Path.cwd() / "here"):
        for root in start.parents:
            if _is_checkout(root):
                return Checkout(root)
    raise CheckoutNotFoundError(
        "there is no checkout of flwr-compose above the installed package or this folder; "
        "images and deployments are made from its files",
        hint=_HINT,
    )


def clean_environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without what would count more than a deployment's own settings."""
    return {name: value for name, value in env.items() if not name.startswith(_OURS)}


def _is_checkout(root: Path) -> bool:
    return all((root / mark).is_file() for mark in _MARKS)


def _log_lines(stream: IO[str], said: list[str]) -> None:
    for line in stream:
        said.append(line)
        logger.info("%s", line.rstrip("\n"))


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str], tool: str, timeout: float) -> Iterator[list[str]]:
    """End the process after ``timeout`` seconds, and whenever the block is left early.

    Yields:
        A list that gets the tool's name when its time was over.
    """
    late: list[str] = []

    def end() -> None:
        late.append(tool)
        _kill(process)

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    except BaseException:
        _kill(process)
        raise
    finally:
        timer.cancel()


def _kill(process: subprocess.Popen[str]) -> None:
    """End the process and all it started: SIGTERM, then SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_TERM_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _failure(tool: str, code: int, said: str) -> ToolError:
    found = _SAID.search(said)
    message = found["message"].strip() if found else f"{tool} exited with {code}: {said[-500:]}"
    hint = (found["hint"] or "") if found else ""
    return ToolError(message, hint=hint, kind=_KINDS.get(code, ErrorKind.INTERNAL))
