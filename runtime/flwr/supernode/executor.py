"""The SuperExec of a node in subprocess isolation: started, watched, started again.

Its runners watch it in turn and end when it does, so when it is gone its apps are gone too: their
leases are revoked and their work is handed to its successor.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from flwr.core.clock import Clock
from flwr.core.limits import RETRY_CAP, RETRY_FIRST
from flwr.shell.in_thread import in_thread
from flwr.supernode.leases import AppLeases

logger = logging.getLogger(__name__)

_STABLE: Final = timedelta(seconds=30)  # a child that lived this long is restarted without delay

_GRACE: Final = timedelta(seconds=4)  # with the outbox it must fit into compose's ten seconds
_OUR_SETTINGS: Final = "FLWR_SUPERNODE_"


class Process(Protocol):
    """A running child, as ``shell.children.Child``."""

    async def wait(self) -> int:
        """Return its exit code once it has ended."""
        ...

    def cause_of_exit(self) -> str:
        """Say how it ended."""
        ...

    async def stop(self, grace: timedelta) -> int:
        """Ask it to end, insist after ``grace``."""
        ...


class Executor:
    """Keeps one SuperExec running."""

    def __init__(
        self,
        argv: Sequence[str],
        leases: AppLeases,
        clock: Clock,
        *,
        start: Callable[[Sequence[str], Mapping[str, str]], Awaitable[Process]],
    ) -> None:
        self._argv, self._leases, self._clock, self._start = argv, leases, clock, start

    async def run(self) -> None:
        """Supervise until cancelled; the SuperExec has then ended and its work is released."""
        await in_thread(self._leases.revoke_all, "the node was started anew")
        try:
            await self._supervise()
        finally:
            await asyncio.shield(in_thread(self._leases.revoke_all, "the node is stopping"))

    async def _supervise(self) -> None:
        pause = RETRY_FIRST
        while True:
            started_at = self._clock.monotonic()
            cause = await self._live_once()
            lived = timedelta(seconds=self._clock.monotonic() - started_at)
            pause = RETRY_FIRST if lived >= _STABLE else min(pause * 2, RETRY_CAP)
            logger.warning(
                "The SuperExec ended, starting another",
                extra={"event": "superexec-ended", "cause": cause},
            )
            await in_thread(self._leases.revoke_all, f"the SuperExec {cause}")
            await asyncio.sleep(pause.total_seconds())

    async def _live_once(self) -> str:
        """Start one and return how it ended."""
        child = await self._start(self._argv, environment(os.environ))
        try:
            await child.wait()
        finally:
            # Also when it has exited: whatever of its process group is left must not run on.
            await asyncio.shield(child.stop(_GRACE))
        return child.cause_of_exit()


def superexec_argv(
    address: str, *, max_apps: int, root_certificates: Path | None, secret: Path | None
) -> list[str]:
    """Return the command line of our SuperExec."""
    security = ["--insecure"]
    if root_certificates is not None:
        security = ["--root-certificates", str(root_certificates)]
    proof = [] if secret is None else ["--superexec-auth-secret-file", str(secret)]
    return [
        sys.executable,
        "-m",
        "flwr.superexec.main",
        "--appio-api-address",
        address,
        "--plugin-type",
        "clientapp",
        "--max-apps",
        str(max_apps),
        "--parent-pid",
        str(os.getpid()),
        *security,
        *proof,
    ]


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without our own settings: the node's key is no app's business."""
    return {name: value for name, value in ours.items() if not name.startswith(_OUR_SETTINGS)}
