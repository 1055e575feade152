"""The app's own process: started without any secret, connected to its runner by one socket."""

import asyncio
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
        outputs: what it prints, as far as nobody reads it yet.
        on_end: called when nobody cares any more for what it prints.
        on_launch: called when a process that stood by gets its work.
    """

    def __init__(
        self,
        child: AppChild,
        pipe: socket.socket,
        outputs: tuple[asyncio.StreamReader, ...] = (),
        *,
        on_end: Callable[[], None] = lambda: None,
        on_launch: Callable[[], None] = lambda: None,
    ) -> None:
        self.child = child
        self.pipe = pipe
        self.outputs = outputs
        self.on_end, self.on_launch = on_end, on_launch

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
        try:
            argv = [sys.executable, "-P", "-m", "flwr.runner.child"]
            argv += [str(kind), str(theirs.fileno())]
            argv += [str(withheld)] if withheld is not None else []
            env = {**app_environment(os.environ), **(environment or {})}
            child = await Child.start(argv, env=env, capture=True, pass_fds=[theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        assert child.stdout is not None
        assert child.stderr is not None
        # Standard output soon carries standard error too.
        outputs = (child.stdout, child.stderr)
        return cls(child, ours, outputs, on_launch=child.judge_from_now)


def app_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return what the app may know of our environment: nothing that configures the runtime."""
    return {
        name: value for name, value in ours.items() if not name.startswith("FLWR_") or name in _KEPT
    }
