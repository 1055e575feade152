"""The app's own process: started without any secret, connected to its runner by one socket."""

import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from flwr.core.lease import AppKind
from flwr.shell.children import Child

_KEPT: Final = frozenset({"FLWR_HOME", "FLWR_LOG_LEVEL", "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE"})


class AppChild(Protocol):
    """The process itself, whoever its parent is."""

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    def wait(self) -> Awaitable[int]:
        """Return the exit code, negative for a signal, once it has exited."""
        ...

    def cause_of_exit(self) -> str:
        """Say in words how it ended; call after ``wait``."""
        ...

    async def stop(self, grace: timedelta) -> int:
        """Ask its group to stop, kill what is left of it after ``grace``."""
        ...


class AppProcess:
    """A running child and the runner's end of its pipe.

    Args:
        child: the process.
        pipe: carries its calls.
        output: the pipe it prints to, where nobody reads that yet.
        on_launch: called when a process that stood by gets its work.
    """

    def __init__(
        self,
        child: AppChild,
        pipe: socket.socket,
        output: int | None = None,
        *,
        on_launch: Callable[[], None] = lambda: None,
    ) -> None:
        self.child = child
        self.pipe = pipe
        self.output = output
        self.on_launch = on_launch

    @classmethod
    async def start(
        cls,
        kind: AppKind,
        *,
        withheld: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> "AppProcess":
        """Start the interpreter that will run the app; it asks for its work by itself.

        Args:
            kind: which half of the app.
            withheld: a directory whose files it may not read.
            environment: what it has besides ours.
        """
        ours, theirs = socket.socketpair()
        output, printed = os.pipe()
        try:
            argv = [sys.executable, "-P", "-m", "flwr.runner.child"]
            argv += [str(kind), str(theirs.fileno())]
            argv += [str(withheld)] if withheld is not None else []
            env = {**app_environment(os.environ), **(environment or {})}
            child = await Child.start(argv, env=env, output=printed, pass_fds=[theirs.fileno()])
        except BaseException:
            ours.close()
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(printed)
        return cls(child, ours, output, on_launch=child.judge_from_now)


def app_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return what the app may know of our environment: nothing that configures the runtime."""
    return {
        name: value for name, value in ours.items() if not name.startswith("FLWR_") or name in _KEPT
    }
