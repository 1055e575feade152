"""One worker as the run sees it: a process, a pipe to it, a pipe from it."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from flwr.shell.children import describe_exit, oom_kills
from flwr.simulation.arena import ArenaReader, open_arena
from flwr.simulation.backend import Answer, Job, WorkerSetup
from flwr.simulation.contents import Contents
from flwr.simulation.frames import AnswerFrame, Inlet, Outlet, batch_of


class WorkerLostError(Exception):
    """The worker's process has ended; the text says how."""


class WorkerProcess:
    """Starts at once; not safe for use by several threads, but for ``kill``.

    The thread that starts it must outlive it: the kernel ends a worker with its starter.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        env: Mapping[str, str],
        contents: Contents,
        output: int | None = None,
    ) -> None:
        self._oom_before = oom_kills()
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._jobs, self._answers = Outlet(ours_out), Inlet(ours_in)
        self._arrivals = select.poll()
        self._arrivals.register(ours_in, select.POLLIN)
        self._arena = open_arena()
        self._replies = ArenaReader(self._arena.fileno())
        self._contents, self._setup = contents, setup
        self.why_once: str | None = None
        """Once prepared: why it must be replaced after one message; None: it need not."""
        theirs = (theirs_in, theirs_out, contents.descriptor, self._arena.fileno())
        argv = [sys.executable, "-P", "-m", "flwr.simulation.worker"]
        try:
            self._process = subprocess.Popen(
                [*argv, *map(str, theirs)],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=theirs,
                start_new_session=True,
            )
        except BaseException:
            self._release()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """False once the process has ended."""
        return self._process.poll() is None

    def prepare(self) -> None:
        """Wait until the worker has imported the app.

        Raises:
            WorkerLostError: it ended before.
        """
        try:
            self._jobs.send(self._setup)
            self.why_once = self._answers.receive()
        except (EOFError, OSError) as cause:
            raise self.bury() from cause

    def send(self, jobs: Sequence[Job]) -> None:
        """Hand over jobs; each is answered, in this order.

        Raises:
            WorkerLostError: the process has ended.
        """
        try:
            lend = partial(self._contents.lend, reader=self)
            batch = batch_of(jobs, lend, self._replies.take_finished())
            self._jobs.send(batch)
        except OSError as cause:
            raise self.bury() from cause

    def receive(self, timeout: float) -> Answer | None:
        """Return the next answer; None when there is none after ``timeout`` seconds.

        Raises:
            WorkerLostError: the process has ended.
        """
        try:
            if not self._arrivals.poll(timeout * 1000):
                return None
            frame: AnswerFrame = self._answers.receive()
        except (EOFError, OSError) as cause:
            raise self.bury() from cause
        self._contents.take_back(self, frame.finished)
        return Answer.unpack(frame.answer.receive(self._replies))

    def dismiss(self, grace_s: float) -> None:
        """Let it end by itself, as the end of its pipe says; kill it after ``grace_s``."""
        self._jobs.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.kill()
        self._process.wait()
        self._release()

    def kill(self) -> None:
        """Kill the process and everything it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def bury(self) -> WorkerLostError:
        """Return how it ended; call when it has ended, or is of no use any more."""
        self.kill()
        code = self._process.wait()
        self._release()
        out_of_memory = oom_kills() > self._oom_before
        return WorkerLostError(describe_exit(code, ran_out_of_memory=out_of_memory))

    def _release(self) -> None:
        """Let go of pipes and memory; replies that are still read keep theirs."""
        self._jobs.close()
        self._answers.close()
        self._contents.forget(self)
        self._arena.close()
