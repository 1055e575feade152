"""Output of ClientApps: kept at the site, bounded, and shared only where the site agreed.

One file per run, at most two halves of the limit: when the newer half is full it replaces the older
one, so that the tail is always there.  File names come from run ids alone.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.shell.in_thread import in_thread

logger = logging.getLogger(__name__)

MAX_BYTES_PER_RUN: Final = 8 * 1024 * 1024
MAX_RUNS: Final = 100  # logs of older runs are deleted
Share = Callable[[RunId, Sequence[str]], Awaitable[None]]


class AppLogs:
    """The logs of this site's ClientApps."""

    def __init__(self, directory: Path, *, share: Share | None = None) -> None:
        """Build.

        Args:
            directory: made when first needed.
            share: passes lines on to the SuperLink; None where the site does not share.
        """
        self._directory, self._share, self._lock = directory, share, Lock()

    async def take(self, run_id: RunId, fragments: Sequence[str]) -> None:
        """Keep raw fragments of output, and pass them on where that is wanted.

        Losing a line never fails the app: what goes wrong is logged here and forgotten.
        """
        try:
            await in_thread(self.append, run_id, "".join(fragments))
        except OSError as error:
            logger.warning(
                "Cannot keep app output",
                extra={"event": "app-log", "run_id": run_id, "cause": str(error)},
            )
        if self._share is None:
            return
        try:
            await self._share(run_id, fragments)
        except FlwrError as error:
            logger.debug(
                "Cannot share app output",
                extra={"event": "app-log", "run_id": run_id, "cause": error.message},
            )

    def append(self, run_id: RunId, text: str) -> None:
        """Write to the run's file, within its bound."""
        content = text.encode("utf-8", "replace")[-MAX_BYTES_PER_RUN // 2 :]
        newer, older = self._files(run_id)
        with self._lock:
            if not self._directory.exists():
                self._directory.mkdir(parents=True, mode=0o700)
            if not newer.exists():
                self._drop_oldest()
            elif newer.stat().st_size + len(content) > MAX_BYTES_PER_RUN // 2:
                newer.replace(older)
            with newer.open("ab") as file:
                file.write(content)

    def read(self, run_id: RunId) -> str:
        """Return what is kept of a run, oldest first."""
        newer, older = self._files(run_id)
        with self._lock:
            parts = [file.read_bytes() for file in (older, newer) if file.exists()]
        return b"".join(parts).decode("utf-8", "replace")

    def _files(self, run_id: RunId) -> tuple[Path, Path]:
        return self._directory / f"{run_id}.log", self._directory / f"{run_id}.older.log"

    def _drop_oldest(self) -> None:
        logs = sorted(self._directory.glob("*.log"), key=lambda file: file.stat().st_mtime)
        for file in logs[: max(0, len(logs) - 2 * MAX_RUNS + 2)]:
            file.unlink(missing_ok=True)
