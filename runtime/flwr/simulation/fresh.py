"""``app-start = "fresh"``: every message is answered by a process of its own.

The worker imports the app and does nothing else with it; for each message it is forked, and what
the child leaves behind ends with the child, but for the reply and the state of the node.

A fork copies each page of memory that it writes, and Python writes wherever it reads.  So what can
be done without the app is done before the fork or after its end, and what a child does cannot
differ much from what this process has rehearsed.
"""

import gc
import logging
import os
import signal
import struct
import sys
import warnings
from functools import partial
from typing import Final, NoReturn
from weakref import WeakKeyDictionary

from flwr.app import RecordDict
from flwr.app.metadata import Metadata
from flwr.shell.code_pages import gather_code
from flwr.shell.cpus import fork_here
from flwr.shell.ending import end, leave_own_logging
from flwr.shell.freshness import Freshness
from flwr.shell.leash import Leash
from flwr.simulation.arena import open_arena, write_all
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.employee import Employee, Prepared
from flwr.simulation.packing import Packed, unpack
from flwr.simulation.rehearsal import foresee, rehearse

log = logging.getLogger(__name__)

_BUG: Final = 70  # EX_SOFTWARE
_NUMBER: Final = struct.Struct("<Q")


class FreshEmployee:
    """An ``Employee`` that is forked for every message.

    If a fork ends without an answer, this process ends in the same way.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        rehearse(setup)
        leave_own_logging()
        freshness = Freshness()
        with freshness.importing():
            self._employee = Employee.load(setup)
        self._freshness = freshness
        self.why_once = freshness.why_unfit()
        """Why this process must not be forked, but be replaced after one message; None: it may."""
        if self.why_once is None:
            # There are no threads, whatever was there when this process started.
            warnings.filterwarnings("ignore", r".*use of fork\(\)", DeprecationWarning)
            self._slate, self._leash = _Slate(), Leash()
            self._contents: WeakKeyDictionary[Packed, RecordDict] = WeakKeyDictionary()
            gather_code(partial(rehearse, setup))
            gc.freeze()  # else a collection in a child copies what it looks at

    def work(
        self, metadata: Metadata, content: Packed, partition: int, state: bytes | None
    ) -> Packed:
        """Return the packed answer to one job, for ``Answer.unpack``."""
        if self.why_once is not None:
            return self._employee.work(metadata, content, partition, state)
        task = self._employee.prepare(metadata, self._unpacked(content), partition, state)
        self._slate.wipe()
        self._freshness.renew()
        pid = fork_here()
        if pid == 0:
            self._answer(task)
        _, status = os.waitpid(pid, 0)  # nothing else meanwhile: this process copies pages, too
        return self._slate.read() or _end_like(status)

    def _unpacked(self, content: Packed) -> RecordDict:
        """Return a content, the same for all its jobs: a child changes its own copy only."""
        if (records := self._contents.get(content)) is None:
            records = self._contents[content] = unpack(content)
            foresee(records)
        return records

    def _answer(self, task: Prepared) -> NoReturn:
        """Be the child."""
        code = _BUG
        try:
            self._leash.put_on()
            self._freshness.keep_seeds()
            self._slate.write(self._employee.answer(task))
            code = 0
        except BaseException:  # noqa: BLE001  # nobody is above us
            sys.excepthook(*sys.exc_info())
        finally:
            end(code)


class _Slate:
    """Memory on which a child leaves one answer: how many parts, how long they are, the parts."""

    def __init__(self) -> None:
        self._file = open_arena()
        self._number = self._file.fileno()

    def wipe(self) -> None:
        """Forget the last answer, and how long it was."""
        os.ftruncate(self._number, 0)

    def write(self, packed: Packed) -> None:
        """Leave an answer; it counts once all of it is there."""
        parts = [packed.pickle, *packed.buffers]
        lengths = struct.pack(f"<{len(parts)}Q", *map(len, parts))
        write_all(self._number, [lengths, *parts], _NUMBER.size)
        os.pwrite(self._number, _NUMBER.pack(len(parts)), 0)

    def read(self) -> Packed | None:
        """Return the answer that was left, if any."""
        head = os.pread(self._number, _NUMBER.size, 0)
        if not head:
            return None
        (count,) = _NUMBER.unpack(head)
        at, size = _NUMBER.size, count * _NUMBER.size
        lengths = struct.unpack(f"<{count}Q", os.pread(self._number, size, at))
        parts = []
        for length in lengths:
            at, size = at + size, length
            parts.append(_read(self._number, size, at))
        return Packed(parts[0], tuple(parts[1:]))


def employ(setup: WorkerSetup) -> Employee | FreshEmployee:
    """Return who works in this process."""
    return FreshEmployee(setup) if setup.starts_fresh else Employee.load(setup)


def _read(descriptor: int, size: int, at: int) -> bytes:
    """Return so many bytes; the kernel gives no more than 2 GB at once."""
    first = os.pread(descriptor, size, at)
    if len(first) == size:
        return first
    content = bytearray(first)
    while len(content) < size:
        content += os.pread(descriptor, size - len(content), at + len(content))
    return bytes(content)


def _end_like(status: int) -> NoReturn:
    """End as a child did, so that whoever watches this process sees the cause."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
