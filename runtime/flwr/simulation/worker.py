"""A worker of the process pool: imports the ClientApp once, answers message after message.

It has two pipes to the run, two stretches of shared memory, and nothing else: no socket, no gRPC.
It ends when the run does.
"""

import io
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from flwr.app.console_log import configure_console
from flwr.shell.death_signal import die_with_parent
from flwr.shell.memory import go_first_for_memory
from flwr.simulation.arena import ArenaReader, ArenaWriter
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.employee import Employee
from flwr.simulation.frames import AnswerFrame, Batch, Inlet, Outlet, send
from flwr.simulation.fresh import FreshEmployee, employ


def main(argv: Sequence[str]) -> int:
    """Serve one run and return the exit code.

    Args:
        argv: four descriptors: the pipe with batches, that for answers, the run's shared memory, to
            be read, and this worker's, to be written.
    """
    die_with_parent()
    go_first_for_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's business
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    configure_console()
    with suppress(EOFError, BrokenPipeError):  # the run has ended
        _Desk(*map(int, argv)).serve()
    return 0


class _Desk:
    """Where a worker gets batches and hands in answers."""

    def __init__(self, jobs: int, answers: int, contents: int, replies: int) -> None:
        self._jobs, self._answers = Inlet(jobs), Outlet(answers)
        self._contents, self._replies = ArenaReader(contents), ArenaWriter(replies)

    def serve(self) -> None:
        """Work until the run ends.

        Raises:
            OSError: it has ended; also an EOFError.
        """
        setup: WorkerSetup = self._jobs.receive()
        sys.path[:] = setup.import_path
        employee = employ(setup)
        self._answers.send(employee.why_once)  # ready
        while True:
            self._work_off(employee, self._jobs.receive())

    def _work_off(self, employee: Employee | FreshEmployee, batch: Batch) -> None:
        for offset in batch.finished:
            self._replies.free(offset)
        contents = [sent.receive(self._contents) for sent in batch.contents]
        for left, task in zip(reversed(range(len(batch.tasks))), batch.tasks, strict=True):
            content = contents[task.content]
            packed = employee.work(task.metadata, content, task.partition, task.state)
            answer = send(packed, self._replies)
            del content, packed  # they may read a content that this worker is to finish with
            if not left:
                contents.clear()
            self._answers.send(AnswerFrame(answer, self._contents.take_finished()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
