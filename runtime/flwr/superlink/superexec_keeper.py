"""Keeps the SuperExec of subprocess isolation alive: started, watched, started again.

Its death stops nothing: ServerApps run in sessions of their own and keep their leases.
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

logger = logging.getLogger(__name__)

_STABLE: Final = timedelta(seconds=30)  # a child that lived this long is restarted at once
_GRACE: Final = timedelta(seconds=5)
_OUR_SETTINGS: Final = "FLWR_SUPERLINK_"


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


Start = Callable[[Sequence[str], Mapping[str, str]], Awaitable[Process]]


class SuperExecKeeper:
    """Runs one SuperExec for as long as the SuperLink serves."""

    def __init__(self, argv: Sequence[str], clock: Clock, *, start: Start) -> None:
        self._argv, self._clock, self._start = argv, clock, start

    async def run(self) -> None:
        """Supervise until cancelled; the SuperExec has ended then."""
        pause = RETRY_FIRST
        while True:
            began = self._clock.monotonic()
            cause = await self._live_once()
            lived = timedelta(seconds=self._clock.monotonic() - began)
            pause = RETRY_FIRST if lived >= _STABLE else min(pause * 2, RETRY_CAP)
            logger.warning(
                "SuperExec ended, starting another",
                extra={"event": "superexec-ended", "cause": cause},
            )
            await asyncio.sleep(pause.total_seconds())

    async def _live_once(self) -> str:
        child = await self._start(self._argv, environment(os.environ))
        try:
            await child.wait()
            return child.cause_of_exit()
        finally:
            # Also after it has exited: nothing of its process group may run on.
            await asyncio.shield(child.stop(_GRACE))


def superexec_argv(
    address: str, *, root_certificates: Path | None, secret: Path | None
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
        "serverapp",
        "--parent-pid",
        str(os.getpid()),
        *security,
        *proof,
    ]


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without our own settings: a database URL is no app's business."""
    return {name: value for name, value in ours.items() if not name.startswith(_OUR_SETTINGS)}
