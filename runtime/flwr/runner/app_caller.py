"""The app's calls through the pipe, with two rules of its own: the run's end, and patience."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from flwr.core.errors import ErrorKind, FlwrError
from flwr.runner.outcome import RunEndedError
from flwr.wire.transport import NO_METADATA, Buffers, Caller, Take

_ENDED = frozenset({ErrorKind.NOT_RUNNING, ErrorKind.UNAUTHENTICATED})


class AppCaller:
    """A ``Caller`` that turns "your run is over" into an exception apps do not catch.

    Args:
        caller: the pipe.
        ended: raised when the run has ended.
    """

    def __init__(self, caller: Caller, ended: type[RunEndedError] = RunEndedError) -> None:
        self._caller, self._ended = caller, ended
        self._patience = threading.local()

    @contextmanager
    def until(self, deadline: float | None) -> Iterator[None]:
        """Let this thread's calls in the block wait no longer than ``deadline``.

        Args:
            deadline: reading of ``time.monotonic``; None waits as long as the caller says.
        """
        self._patience.deadline = deadline
        try:
            yield
        finally:
            self._patience.deadline = None

    def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> bytes:
        """Return the serialized response; see ``wire.transport.Caller``.

        Raises:
            RunEndedError: the run has ended; there is nothing left to do.
            FlwrError: whatever else the daemon or the runner reports.
        """
        deadline: float | None = getattr(self._patience, "deadline", None)
        if deadline is not None:
            left = max(deadline - time.monotonic(), 0.0)
            timeout = left if timeout is None else min(timeout, left)
        try:
            return self._caller.call(method, request, timeout=timeout, metadata=metadata)
        except FlwrError as error:
            if error.kind in _ENDED:
                raise self._ended(error.message) from error
            raise

    def stream(
        self, method: str, request: bytes, *, more: Iterable[Buffers] = (), take: Take
    ) -> None:
        """Make a call of many messages; see ``wire.transport.Caller``.

        Raises:
            RunEndedError: the run has ended; there is nothing left to do.
            FlwrError: whatever else the daemon or the runner reports, or ``take`` raised.
        """
        try:
            self._caller.stream(method, request, more=more, take=take)
        except FlwrError as error:
            if error.kind in _ENDED:
                raise self._ended(error.message) from error
            raise
