"""A worker of the process pool: imports the ClientApp once, answers message after message.

It has two pipes to the run, two stretches of shared memory, and nothing else: no socket, no gRPC.
It ends when the run does.
"""

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from flwr.app.console_log import configure_console
from flwr.shell.death_signal import die_with_parent
from flwr.shell.memory import go_first_for_memory
from flwr.simulation.arena import ArenaReader, ArenaWriter
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.employee import Employee
from flwr.simulation.frames import AnswerFrame, Batch, decode, encode, send
from flwr.simulation.fresh import FreshEmployee, employ

_DESCRIPTORS: Final = {
    "jobs": "pipe to read batches from",
    "answers": "pipe to write answers to",
    "contents": "shared memory of the run, to be read",
    "replies": "shared memory of this worker, to be written",
}


def main(argv: Sequence[str]) -> int:
    """Serve one run and return the exit code."""
    parser = argparse.ArgumentParser(prog="flwr.simulation.worker")
    for name, use in _DESCRIPTORS.items():
        parser.add_argument(f"--{name}", type=int, required=True, help=f"descriptor: {use}")
    said = parser.parse_args(argv)
    die_with_parent()
    go_first_for_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's business
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    configure_console()
    with suppress(EOFError, BrokenPipeError):  # the run has ended
        _Desk(said).serve()
    return 0


class _Desk:
    """Where a worker gets batches and hands in answers."""

    def __init__(self, said: argparse.Namespace) -> None:
        self._jobs = Connection(said.jobs, writable=False)
        self._answers = Connection(said.answers, readable=False)
        self._contents = ArenaReader(said.contents)
        self._replies = ArenaWriter(said.replies)

    def serve(self) -> None:
        """Work until the run ends.

        Raises:
            OSError: it has ended; also an EOFError.
        """
        setup: WorkerSetup = decode(self._jobs.recv_bytes())
        sys.path[:] = setup.import_path
        employee = employ(setup)
        self._answers.send_bytes(encode(employee.why_once))  # ready
        while True:
            self._work_off(employee, decode(self._jobs.recv_bytes()))

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
            self._answers.send_bytes(encode(AnswerFrame(answer, self._contents.take_finished())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
