"""Running the ``git`` program: bounded, deaf to prompts, and silent about secrets.

Never by a shell, never with a repository's own hooks, filters or submodules.  The user's own
configuration holds (proxies, certificates, ssh): it is what makes ``git clone`` work for them.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.core.limits import GIT_TIMEOUT, MAX_GIT_BYTES
from flwr.fab.git_errors import GitMissingError, GitTimeoutError, GitTooLargeError
from flwr.fab.git_token import GitToken

_STEP_S: Final = 0.02  # between two looks at a running program: time, and bytes on disk
_MAX_STEP_S: Final = 0.25
_MAX_SAID: Final = 8192  # characters kept of what git says
# What a user may say to git by the environment; other GIT_ variables belong to whatever called us.
_KEPT: Final = frozenset(
    {
        *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH"),
        *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT"),
    }
)
_KEPT_BEGINNINGS: Final = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
_NO_PROMPTS: Final[Mapping[str, str]] = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
}
# ssh stands beside https because users rewrite one into the other (url.*.insteadOf).
_PROTOCOLS: Final[Mapping[str, str]] = {
    "https": "https:ssh",
    "ssh": "ssh:https",
    "http": "http",
    "file": "file",
}
_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",  # one pack, whose growth is seen
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1000",  # bytes a second
    "http.lowSpeedTime=20",
)


@dataclass(frozen=True, slots=True)
class Said:
    """How a call of git ended."""

    status: int
    error: str  # of its standard error, without secrets
    output: Path  # a file with its standard output


class Git:
    """Calls git in one folder, for one repository.

    Args:
        folder: everything git writes lies below it.
        scheme: the only way to a repository that is open.
        token: shown to hosts that ask for one.
        monotonic: seconds; all calls together share one time limit.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scheme: str,
        token: GitToken | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        program = shutil.which("git")
        if program is None:
            raise GitMissingError
        self._program, self._folder, self._token = program, folder, token
        self._monotonic = monotonic
        self._until = monotonic() + GIT_TIMEOUT.total_seconds()
        self._environment = {
            **{name: value for name, value in os.environ.items() if _is_kept(name)},
            **_NO_PROMPTS,
            **(token.environment if token else {}),
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS[scheme],
            "GIT_CEILING_DIRECTORIES": str(folder.parent),
            "LC_ALL": "C",  # what it says is read by ``git_errors``
        }
        self._calls = 0

    def call(self, *arguments: str, feed: Path | None = None) -> Said:
        """Run ``git`` with these arguments; ``feed`` is its standard input.

        Raises:
            GitTimeoutError: the time for this repository is over.
            GitTooLargeError: more came than a bundle's sources may be.
        """
        self._calls += 1
        output = self._folder / f"output-{self._calls}"
        error = self._folder / f"error-{self._calls}"
        with (
            output.open("xb") as out,
            error.open("xb") as err,
            (feed or Path(os.devnull)).open("rb") as given,
        ):
            running = subprocess.Popen(
                [self._program, *self._options(), *arguments],
                stdin=given,
                stdout=out,
                stderr=err,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,  # no terminal to ask on, and one group to end
            )
            try:
                status = self._await(running)
            finally:
                _end(running)
        said = error.read_bytes()[-_MAX_SAID:].decode(errors="replace")
        return Said(status, self._token.redact(said) if self._token else said, output)

    def _options(self) -> Sequence[str]:
        settings = [*_SETTINGS, *(self._token.settings if self._token else ())]
        return [part for setting in settings for part in ("-c", setting)]

    def _await(self, running: "subprocess.Popen[bytes]") -> int:
        step, status = _STEP_S, None
        while status is None:
            with suppress(subprocess.TimeoutExpired):
                status = running.wait(step)
            if _size_bytes(self._folder) > MAX_GIT_BYTES:
                raise GitTooLargeError(f"more than {MAX_GIT_BYTES} bytes were sent")
            if status is None and self._monotonic() > self._until:
                raise GitTimeoutError(GIT_TIMEOUT)
            step = min(step * 2, _MAX_STEP_S)
        return status


def _is_kept(name: str) -> bool:
    return not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_BEGINNINGS)


def _size_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it was temporary
                total += (Path(place) / name).lstat().st_size
    return total


def _end(running: "subprocess.Popen[bytes]") -> None:
    """End what is left of the call, helpers such as ssh included."""
    if running.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
