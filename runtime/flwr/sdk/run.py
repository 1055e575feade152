"""A run and what is known of it.

A ``Run`` is a handle: it holds an id and asks the SuperLink.  ``RunInfo`` is what the SuperLink
said at one instant and never changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from flwr.control.follow import FROM_THE_START, NOTHING, Follower, fetch_run, log_so_far
from flwr.control.terminal import LogText
from flwr.core.errors import UnimplementedError
from flwr.core.ids import RunId
from flwr.core.origin import Origin
from flwr.core.run import FINAL, RunStatus
from flwr.core.run import Run as StoredRun
from flwr.sdk.errors import RunEndedBadlyError, RunFailedError, RunStoppedError

if TYPE_CHECKING:
    from flwr.sdk.link import SuperLink


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One run as the SuperLink knew it at one instant; instants are aware and in UTC."""

    run_id: int
    app: str  # publisher/name
    app_version: str
    fab_hash: str  # SHA-256 of the bundle, 64 hex digits
    origin: Origin | None  # commit, url and subdirectory of an app from git
    federation: str
    status: RunStatus
    details: str  # the cause of the end, for a person; empty before
    submitted_at: datetime
    starting_at: datetime | None
    running_at: datetime | None
    finished_at: datetime | None
    bytes_to_nodes: int
    bytes_from_nodes: int
    clientapp_seconds: float  # of all nodes together

    @property
    def is_final(self) -> bool:
        """True once the run can never change again: completed, failed or stopped."""
        return self.status in FINAL

    @property
    def duration(self) -> timedelta | None:
        """How long the ServerApp ran; None while it runs, or when it never did."""
        if self.running_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.running_at

    @classmethod
    def of(cls, run: StoredRun) -> Self:
        """Return what users see of a run."""
        return cls(
            run_id=run.run_id,
            app=run.fab_id,
            app_version=run.fab_version,
            fab_hash=run.fab_hash,
            origin=run.origin,
            federation=run.federation,
            status=run.status,
            details=run.details,
            submitted_at=run.pending_at,
            starting_at=run.starting_at,
            running_at=run.running_at,
            finished_at=run.finished_at,
            bytes_to_nodes=run.bytes_sent,
            bytes_from_nodes=run.bytes_recv,
            clientapp_seconds=run.clientapp_runtime_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a completed run left that the SuperLink gives out."""

    info: RunInfo
    log: str  # all that the ServerApp printed, and what sites share of their ClientApps
    artifacts: str | None  # URL of the ServerApp's files; None: the SuperLink keeps none


class Run:
    """One run on one SuperLink.

    Made by ``SuperLink.submit`` and ``SuperLink.run``; usable while the link is open, from any
    thread.  Every method raises ``RunNotFoundError`` when the SuperLink has no such run,
    ``UnavailableError`` when it does not answer and ``LinkClosedError`` once the link is closed,
    also in the middle of a wait.
    """

    def __init__(self, link: "SuperLink", run_id: RunId) -> None:
        self._link, self._run_id = link, run_id

    def __repr__(self) -> str:
        return f"Run({self._run_id} on {self._link.address})"

    @property
    def run_id(self) -> int:
        """The id that the SuperLink gave it."""
        return self._run_id

    @property
    def status(self) -> RunStatus:
        """Where the run stands now; asks the SuperLink each time."""
        return self.fetch().status

    def fetch(self) -> RunInfo:
        """Return all that the SuperLink knows of the run now; waits up to 60 s for the answer."""
        with self._link.guarded() as control:
            return RunInfo.of(fetch_run(control, self._run_id))

    def wait(self, timeout: float | None = None) -> RunInfo:
        """Wait until the run has ended, however it ends; the SuperLink tells it at once.

        A lost connection is taken up again for up to ten minutes.

        Args:
            timeout: seconds until ``RunNotEndedError``; None waits for ever.

        Returns:
            The run in its final state.

        Raises:
            RunNotEndedError: the time is over; the run itself goes on.
        """
        info = self.fetch()
        if not info.is_final:
            for _ in self._chunks(timeout, after=NOTHING, answered_before=True):
                continue
            info = self.fetch()
        return info

    def logs(self, *, follow: bool = False, timeout: float | None = None) -> Iterator[str]:
        """Yield the run's log line by line, without line ends and terminal commands.

        Leaving the loop ends the call.

        Args:
            follow: go on until the run ends, over lost connections, without a gap or a repeat;
                otherwise stop when what is there has been read.
            timeout: with ``follow``, seconds until ``RunNotEndedError``; None: no limit.

        Raises:
            RunNotEndedError: the time is over; the run itself goes on.
        """
        text, rest = LogText(colours=False), ""
        for chunk in self._chunks(timeout, after=FROM_THE_START) if follow else self._so_far():
            *lines, rest = (rest + text.feed(chunk)).split("\n")
            yield from lines
        if rest:
            yield rest

    def stop(self) -> None:
        """Stop the run: its processes end on the server and on every node within 15 s.

        Raises:
            FailedPreconditionError: the run has ended already.
        """
        with self._link.guarded() as control:
            control.stop_run(self._run_id)

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait for the run to complete and return what it left.

        A Flower run returns no value: what the ServerApp printed is in the log, what it wrote
        is where it was told to write.

        Args:
            timeout: seconds until ``RunNotEndedError``; None waits for ever.

        Raises:
            RunFailedError: it failed; the cause is in ``details``.
            RunStoppedError: somebody stopped it.
            RunNotEndedError: the time is over; the run itself goes on.
        """
        info = self.wait(timeout)
        if info.status is not RunStatus.COMPLETED:
            raise _bad_end(info)
        log = "".join(f"{line}\n" for line in self.logs(follow=True))
        return RunResult(info=info, log=log, artifacts=self._artifacts())

    def _artifacts(self) -> str | None:
        try:
            with self._link.guarded() as control:
                return control.pull_artifacts(self._run_id) or None
        except UnimplementedError:
            return None

    def _so_far(self) -> Iterator[str]:
        with self._link.guarded() as control:
            yield from log_so_far(control, self._run_id, clock=self._link.clock)

    def _chunks(
        self, timeout: float | None, *, after: float, answered_before: bool = False
    ) -> Iterator[str]:
        with self._link.guarded() as control:
            follower = Follower(
                control,
                clock=self._link.clock,
                pause=self._link.pause,
                on_loss=self._link.note_loss,
                timeout=None if timeout is None else timedelta(seconds=timeout),
                after=after,
            )
            yield from follower.chunks(self._run_id, answered_before=answered_before)


def _bad_end(info: RunInfo) -> RunEndedBadlyError:
    kind = RunStoppedError if info.status is RunStatus.STOPPED else RunFailedError
    return kind(info.run_id, info.status, info.details)
