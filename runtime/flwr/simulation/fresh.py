"""``app-start = "fresh"``: every message is answered by a process of its own.

The worker imports the app and does nothing else with it; for each message it is forked, and what
the child leaves behind ends with the child, but for the reply and the state of the node.
"""

import gc
import logging
import os
import select
import signal
import sys
import warnings
from multiprocessing.connection import Connection
from typing import Final, NoReturn

from flwr.app.metadata import Metadata
from flwr.shell.death_signal import die_with_parent
from flwr.shell.ending import end
from flwr.shell.freshness import Freshness
from flwr.simulation.arena import ArenaReader, ArenaWriter, open_arena
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.employee import Employee
from flwr.simulation.frames import Sent, decode, encode, send
from flwr.simulation.packing import Packed

log = logging.getLogger(__name__)

_BUG: Final = 70  # EX_SOFTWARE


class FreshEmployee:
    """An ``Employee`` that is forked for every message.

    If a fork ends without an answer, this process ends in the same way.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        freshness = Freshness()
        with freshness.importing():
            self._employee = Employee(setup)
        gc.collect()  # what the import dropped may still be open
        self._freshness = freshness
        self.why_once = freshness.why_unfit()
        """Why this process must not be forked, but be replaced after one message; None: it may."""
        if self.why_once is None:
            gc.freeze()  # else a collection in a child copies what it looks at
            self._scratch = open_arena()

    def work(
        self, metadata: Metadata, content: Packed, partition: int, state: bytes | None
    ) -> Packed:
        """Return the packed answer to one job, for ``Answer.unpack``."""
        if self.why_once is not None:
            return self._employee.work(metadata, content, partition, state)
        ours, theirs = os.pipe()
        parent = os.getpid()
        self._freshness.renew()
        with warnings.catch_warnings():  # there are no threads, that was looked at
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            os.close(ours)
            self._answer(theirs, parent, (metadata, content, partition, state))
        os.close(theirs)
        return self._receive(Connection(ours, writable=False), pid)

    def _answer(
        self, pipe: int, parent: int, job: tuple[Metadata, Packed, int, bytes | None]
    ) -> NoReturn:
        """Be the child."""
        code = _BUG
        try:
            die_with_parent()
            if os.getppid() != parent:  # it died before that could take effect
                os._exit(_BUG)
            self._freshness.keep_seeds()
            packed = self._employee.work(*job)
            sent = send(packed, ArenaWriter(self._scratch.fileno()))
            Connection(pipe, readable=False).send_bytes(encode(sent))
            code = 0
        except BaseException:  # noqa: BLE001  # nobody is above us
            sys.excepthook(*sys.exc_info())
        finally:
            end(code)

    def _receive(self, pipe: "Connection[bytes, bytes]", pid: int) -> Packed:
        child = os.pidfd_open(pid)
        try:
            waiting = select.poll()
            for descriptor in (pipe.fileno(), child):
                waiting.register(descriptor, select.POLLIN)
            waiting.poll()
            frame = pipe.recv_bytes() if pipe.poll() else b""
        except EOFError:
            frame = b""
        finally:
            os.close(child)
            pipe.close()
        _, status = os.waitpid(pid, 0)
        if not frame:
            _end_like(status)
        sent: Sent = decode(frame)
        if sent.place is None:
            return Packed(sent.pickle, sent.buffers)
        # The next child writes to the same place.
        buffers = ArenaReader(self._scratch.fileno()).read(sent.place)
        return Packed(sent.pickle, tuple(map(bytes, buffers)))


def employ(setup: WorkerSetup) -> Employee | FreshEmployee:
    """Return who works in this process."""
    return FreshEmployee(setup) if setup.starts_fresh else Employee(setup)


def _end_like(status: int) -> NoReturn:
    """End as a child did, so that whoever watches this process sees the cause."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
