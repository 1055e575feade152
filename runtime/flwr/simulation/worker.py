"""A worker of the process pool: imports the ClientApp once, answers message after message.

It has two pipes to the run and nothing else: no socket, no gRPC.  It ends when the run does.
"""

import argparse
import io
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from flwr.app import Context, Message, RecordDict
from flwr.app.console_log import configure_console
from flwr.app.message import restore
from flwr.clientapp import ClientApp
from flwr.clientapp.answering import answer, answer_unloaded
from flwr.core.errors import FlwrError
from flwr.fab.entry import EntryReference
from flwr.fab.load import load
from flwr.shell.death_signal import die_with_parent
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.frames import Batch, Task, pack, unpack
from flwr.simulation.partitions import node_config

log = logging.getLogger(__name__)


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
    setup: WorkerSetup = unpack(jobs.recv_bytes())
    sys.path[:] = setup.import_path
    employee = _Employee(setup)
    answers.send_bytes(pack(None))  # ready
    while True:
        batch: Batch = unpack(jobs.recv_bytes())
        for task in batch.tasks:
            answers.send_bytes(employee.work(task, batch.contents))


class _Employee:
    """The ClientApp, or why there is none, and the run it works for."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._app = _load(setup.app)

    def work(self, task: Task, contents: Sequence[bytes]) -> bytes:
        """Return the packed answer to one task."""
        records: RecordDict = unpack(contents[task.content])
        message = restore(task.metadata, content=records)
        if isinstance(self._app, FlwrError):
            return pack((answer_unloaded(message, self._app), None))
        reply, state = self._answer(self._app, message, task)
        return pack((reply, None if state == task.state else state))

    def _answer(self, app: ClientApp, message: Message, task: Task) -> tuple[Message, bytes | None]:
        state: RecordDict = RecordDict() if task.state is None else unpack(task.state)
        context = Context(
            run_id=self._setup.run_id,
            node_id=task.metadata.dst_node_id,
            node_config=node_config(task.partition, self._setup.num_partitions),
            state=state,
            run_config=dict(self._setup.run_config),
        )
        reply, after = answer(app, message, context)
        if task.state is None and not after.state:
            return reply, None
        return reply, pack(after.state)


def _load(app: EntryReference | bytes) -> ClientApp | FlwrError:
    try:
        if isinstance(app, EntryReference):
            return load(app, ClientApp)
        found = unpack(app)
    except FlwrError as error:
        log.exception("ClientApp could not be loaded")
        return error
    except Exception as error:
        log.exception("ClientApp could not be loaded")
        return FlwrError(f"Unable to load the ClientApp: {type(error).__name__}: {error}")
    assert isinstance(found, ClientApp)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
