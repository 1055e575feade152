"""Starting app processes: the launcher protocol, and the one that starts local processes.

A launcher decides where a runner runs and hands it its launch token over standard input; the token
never appears in an argument list or an environment.  What the runner then does is not its business.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.core.run import RunType
from flwr.shell.children import Child


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One granted launch: which app, for which run, with which token."""

    run_id: RunId
    token: str
    kind: AppKind
    run_type: RunType = RunType.SERVERAPP

    def __repr__(self) -> str:
        return f"Launch(run_id={self.run_id}, kind={self.kind}, run_type={self.run_type})"


class AppProcess(Protocol):
    """A started runner."""

    @property
    def pid(self) -> int:
        """Id of the runner's process."""
        ...

    async def wait(self) -> int:
        """Return the exit code once it ended; negative means killed by that signal."""
        ...

    def cause_of_exit(self) -> str:
        """Say in words how it ended: "was killed by SIGKILL"; call after ``wait``."""
        ...

    async def stop(self, grace: timedelta) -> int:
        """Ask it to end, kill it after ``grace``, and return its exit code."""
        ...


class Launcher(Protocol):
    """Something that can start runners."""

    async def start(self, launch: Launch) -> AppProcess:
        """Start one runner and give it its token.

        Raises:
            OSError: the process could not be started.
            FailedPreconditionError: this launcher cannot start such a run.
        """
        ...


# Of either run type: the app's process learns from its inputs whether its nodes are virtual.
_PROGRAMS: Final = {
    AppKind.SERVERAPP: "flwr.runner.serverapp_main",
    AppKind.CLIENTAPP: "flwr.runner.clientapp_main",
}


class ProcessLauncher:
    """Starts each runner as a process of its own group, next to the SuperExec."""

    def __init__(
        self,
        address: str,
        *,
        root_certificates: Path | None,
        allow_dependency_installation: bool = False,
        withheld: Path | None = None,
    ) -> None:
        self._address = address
        self._root_certificates = root_certificates
        self._allow_dependency_installation = allow_dependency_installation
        self._withheld = withheld

    def command(self, launch: Launch) -> Sequence[str]:
        """Return the argument list of the runner; it names no secret."""
        argv = [sys.executable, "-P", "-m", _PROGRAMS[launch.kind]]
        argv += [f"--{launch.kind}io-api-address", self._address, "--token-stdin"]
        if self._root_certificates is None:
            argv += ["--insecure"]
        else:
            argv += ["--root-certificates", str(self._root_certificates)]
        if self._allow_dependency_installation:
            argv += ["--allow-runtime-dependency-installation"]
        if self._withheld is not None:
            argv += ["--withhold-from-app", str(self._withheld)]
        if launch.kind is AppKind.CLIENTAPP:
            # A ServerApp outlives its SuperExec and reconnects; a ClientApp must not.
            argv += ["--parent-pid", str(os.getpid())]
        return argv

    async def start(self, launch: Launch) -> AppProcess:
        """Start one runner and write its token to its standard input."""
        return await Child.start(self.command(launch), stdin=f"{launch.token}\n".encode("ascii"))
