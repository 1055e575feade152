"""The app's own process: started without any secret, connected to its runner by one socket."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flwr.core.lease import AppKind
from flwr.shell.children import Child

_KEPT: Final = frozenset({"FLWR_HOME", "FLWR_LOG_LEVEL", "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE"})


class AppProcess:
    """A running child and the runner's end of its pipe."""

    def __init__(self, child: Child, pipe: socket.socket) -> None:
        self.child = child
        self.pipe = pipe

    @classmethod
    async def start(cls, kind: AppKind, *, withheld: Path | None = None) -> "AppProcess":
        """Start the interpreter that will run the app; it asks for its work by itself.

        Args:
            kind: which half of the app.
            withheld: a directory whose files it may not read.
        """
        ours, theirs = socket.socketpair()
        try:
            argv = [sys.executable, "-P", "-m", "flwr.runner.child"]
            argv += ["--kind", str(kind), "--fd", str(theirs.fileno())]
            argv += ["--withhold", str(withheld)] if withheld is not None else []
            child = await Child.start(
                argv, env=app_environment(os.environ), capture=True, pass_fds=[theirs.fileno()]
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(child, ours)

    @property
    def outputs(self) -> tuple[asyncio.StreamReader, asyncio.StreamReader]:
        """Its standard output, which soon carries its standard error too, and the latter."""
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        return self.child.stdout, self.child.stderr


def app_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return what the app may know of our environment: nothing that configures the runtime."""
    return {
        name: value for name, value in ours.items() if not name.startswith("FLWR_") or name in _KEPT
    }
