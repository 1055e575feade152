"""A worker of the process pool: imports the ClientApp once, answers message after message.

It has two pipes to the run and nothing else: no socket, no gRPC.  It ends when the run does.
"""

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from flwr.app.console_log import configure_console
from flwr.shell.death_signal import die_with_parent
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.employee import Employee
from flwr.simulation.frames import Batch, decode, encode, inline


def main(argv: Sequence[str]) -> int:
    """Serve one run and return the exit code."""
    parser = argparse.ArgumentParser(prog="flwr.simulation.worker")
    parser.add_argument("--jobs", type=int, required=True, help="descriptor to read from")
    parser.add_argument("--answers", type=int, required=True, help="descriptor to write to")
    said = parser.parse_args(argv)
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's business
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    configure_console()
    jobs = Connection(said.jobs, writable=False)
    answers = Connection(said.answers, readable=False)
    with suppress(EOFError, BrokenPipeError):  # the run has ended
        _serve(jobs, answers)
    return 0


def _serve(jobs: "Connection[bytes, bytes]", answers: "Connection[bytes, bytes]") -> None:
    setup: WorkerSetup = decode(jobs.recv_bytes())
    sys.path[:] = setup.import_path
    employee = Employee(setup)
    answers.send_bytes(encode(None))  # ready
    while True:
        batch: Batch = decode(jobs.recv_bytes())
        for task in batch.tasks:
            content = batch.contents[task.content]
            answer = employee.work(task.metadata, content, task.partition, task.state)
            answers.send_bytes(encode(inline(answer)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
