"""Keeps the SuperExec of subprocess isolation alive: started, watched, started again.

What its death means is its daemon's business: ServerApps run on in sessions of their own and keep
their leases, ClientApps end with it.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from flwr.core.clock import Clock
from flwr.core.lease import AppKind
from flwr.core.limits import RETRY_CAP, RETRY_FIRST
from flwr.shell.children import Child

logger = logging.getLogger(__name__)

_STABLE: Final = timedelta(seconds=30)  # a child that lived this long is restarted without delay
_GRACE: Final = timedelta(seconds=4)  # with a node's outbox it must fit into compose's ten seconds
_DAEMONS_OWN: Final = ("FLWR_SUPERLINK_", "FLWR_SUPERNODE_")


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

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group."""
        ...


async def start_child(argv: Sequence[str], env: Mapping[str, str]) -> Process:
    """Start a process of this machine."""
    return await Child.start(argv, env=env)


async def _nothing_to_do(_cause: str) -> None:
    """What a daemon does whose apps live on."""


class SuperExecKeeper:
    """Runs one SuperExec for as long as its daemon serves.

    Args:
        argv: its command line.
        clock: tells how long it lived.
        on_end: called with the cause whenever it ended by itself, before the next one starts.
        apps_live_on: when we stop, its apps go on; asked politely, it would end them.
        start: starts a process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        clock: Clock,
        *,
        on_end: Callable[[str], Awaitable[None]] = _nothing_to_do,
        apps_live_on: bool = False,
        start: Callable[[Sequence[str], Mapping[str, str]], Awaitable[Process]] = start_child,
    ) -> None:
        self._argv, self._clock = argv, clock
        self._on_end, self._start, self._apps_live_on = on_end, start, apps_live_on

    async def run(self) -> None:
        """Supervise until cancelled; the SuperExec has ended then."""
        pause = RETRY_FIRST
        while True:
            began = self._clock.monotonic()
            try:
                cause = await self._live_once()
            except OSError as error:  # no process, memory or descriptor to be had just now
                cause = f"could not be started: {error}"
            lived = timedelta(seconds=self._clock.monotonic() - began)
            pause = RETRY_FIRST if lived >= _STABLE else min(pause * 2, RETRY_CAP)
            logger.warning(
                "SuperExec ended, starting another",
                extra={"event": "superexec-ended", "cause": cause},
            )
            await self._on_end(cause)
            await asyncio.sleep(pause.total_seconds())

    async def _live_once(self) -> str:
        child = await self._start(self._argv, superexec_environment(os.environ))
        try:
            await child.wait()
            return child.cause_of_exit()
        finally:
            if self._apps_live_on:
                child.signal(signal.SIGKILL)
            # Also after it has exited: nothing of its process group may run on.
            await asyncio.shield(child.stop(_GRACE))


def superexec_argv(
    address: str,
    kind: AppKind,
    *,
    root_certificates: Path | None,
    secret: Path | None,
    max_apps: int | None = None,
    flags: Sequence[str] = (),
) -> list[str]:
    """Return the command line of our SuperExec; it names files, no secret.

    Args:
        address: of the daemon's AppIo port.
        kind: of the apps.
        root_certificates: whom it trusts, None: clear text.
        secret: file with what it proves itself by.
        max_apps: that run at one time, None: it decides.
        flags: what else it is told.
    """
    argv = [sys.executable, "-m", "flwr.superexec.main", "--appio-api-address", address]
    argv += ["--plugin-type", str(kind), "--parent-pid", str(os.getpid())]
    argv += ["--drain", "0"]  # its daemon stops together with it, and its work waits for the next
    if max_apps is not None:
        argv += ["--max-apps", str(max_apps)]
    argv += flags
    if root_certificates is None:
        argv += ["--insecure"]
    else:
        argv += ["--root-certificates", str(root_certificates)]
    if secret is not None:
        argv += ["--superexec-auth-secret-file", str(secret)]
    return argv


def superexec_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without a daemon's settings: its secrets are no app's business."""
    return {name: value for name, value in ours.items() if not name.startswith(_DAEMONS_OWN)}
