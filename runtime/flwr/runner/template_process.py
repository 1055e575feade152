"""A template as its executor sees it: started, given one app, asked for children, retired."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from flwr.core.errors import FlwrError, InvalidError, UnavailableError
from flwr.runner.app_process import app_environment
from flwr.runner.template_frames import (
    MOST_TAKEN_ALONG,
    TemplateFrame,
    Verb,
    receive_frame,
    send_frame,
)
from flwr.shell.children import Child, describe_exit, oom_kills

log = logging.getLogger(__name__)

_KILLED: Final = -int(signal.SIGKILL)
NO_SETTINGS: Final[Mapping[str, str]] = {}


class TemplateLostError(UnavailableError):
    """The template ended, or is of no use any more; another one can be started."""


class UnfitError(FlwrError):
    """The app cannot have a template; the text says why."""


class ForkedChild:
    """A child of a template: the template waits for it, the executor signals it."""

    def __init__(self, pid: int, oom_before: int, *, has_begun: bool) -> None:
        self.pid = pid
        self.has_begun = has_begun
        """True when it began with its work: it asks for none."""
        self._oom_before = oom_before
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._lost_with = ""  # how its template ended, when that has ended it too

    def end(self, code: int, *, lost_with: str = "") -> None:
        """Note how it ended."""
        self._lost_with = lost_with
        if not self._ended.done():
            self._ended.set_result(code)

    def wait(self) -> "asyncio.Future[int]":
        """Return the exit code, negative for a signal, once it has exited."""
        return asyncio.shield(self._ended)

    def cause_of_exit(self) -> str:
        """Say in words how it ended; call after ``wait``."""
        if self._lost_with:
            return f"was lost: the template of its app {self._lost_with}"
        ran_out = oom_kills() > self._oom_before
        return describe_exit(self._ended.result(), ran_out_of_memory=ran_out)

    async def stop(self, grace: timedelta) -> int:
        """Ask the whole group to stop, kill it after ``grace``; return the exit code."""
        if not self._ended.done():
            self._signal(signal.SIGTERM)
            await asyncio.wait([self._ended], timeout=grace.total_seconds())
        # Also grandchildren that ignored the request or were left behind.
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
            return
        if not self._ended.done():  # it has no group yet
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


_Answer = TemplateFrame | ForkedChild


class _Question:
    """One that a template has not answered yet."""

    def __init__(self, *, has_work: bool) -> None:
        self.answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self.oom_before = oom_kills()
        self.has_work = has_work


class Template:
    """One template process.

    Args:
        process: the process.
        control: our end of its socket.
    """

    def __init__(self, process: Child, control: socket.socket) -> None:
        self._process, self._control = process, control
        self._children: dict[int, ForkedChild] = {}
        self._asked: deque[_Question] = deque()  # it answers in the order of the questions
        self._is_lost = False
        self._dying: asyncio.Task[str] | None = None
        self.on_idle: Callable[[], None] | None = None
        """Called when the last child has ended."""
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control, self._read)

    @classmethod
    async def start(cls, withheld: Path | None = None) -> "Template":
        """Start the interpreter; it waits for its app.

        Args:
            withheld: a directory whose files the app may not read.

        Raises:
            OSError: no process is to be had.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            argv = [sys.executable, "-P", "-m", "flwr.runner.template"]
            argv += [str(theirs.fileno())]
            argv += [str(withheld)] if withheld is not None else []
            process = await Child.start(
                argv, env=app_environment(os.environ), pass_fds=[theirs.fileno()]
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_idle(self) -> bool:
        """Tell whether it has no child."""
        return not self._children

    async def load(self, fab: bytes, fab_hash: str, output: int) -> None:
        """Let it import the app of a bundle; what that prints goes to ``output``.

        Raises:
            UnfitError: the app cannot have a template.
            TemplateLostError: the process ended meanwhile.
        """
        bundle = _in_memory(fab)
        try:
            frame = TemplateFrame(Verb.LOAD, fab_hash=fab_hash)
            answer = await self._ask(frame, (bundle, output))
        finally:
            os.close(bundle)
        if isinstance(answer, TemplateFrame) and answer.verb is Verb.UNFIT:
            raise UnfitError(answer.why)

    async def fork(
        self,
        pipe: int,
        output: int,
        environment: Mapping[str, str] = NO_SETTINGS,
        taken: bytes = b"",
    ) -> ForkedChild:
        """Return a child that speaks through ``pipe`` and prints to ``output``.

        Args:
            pipe: its end.
            output: both of its outputs.
            environment: what it has besides that of the template.
            taken: what it is to do; where that is not small, it asks for it through the pipe.

        Raises:
            TemplateLostError: another template is needed.
            OSError: no process is to be had.
        """
        # A child that nobody wants any more finds its pipe closed, and ends.
        along = taken if len(taken) <= MOST_TAKEN_ALONG else b""
        frame = TemplateFrame(Verb.FORK, environment=environment, taken=along)
        answer = await self._ask(frame, (pipe, output))
        if isinstance(answer, ForkedChild):
            return answer
        if answer.verb is Verb.STALE:
            raise TemplateLostError("the files of its app have changed")
        raise OSError(f"the template of the app cannot fork: {answer.why}")

    def retire(self) -> None:
        """Fork no more; it ends with its last child."""
        with suppress(OSError):
            send_frame(self._control, TemplateFrame(Verb.RETIRE))

    async def stop(self) -> None:
        """End it, and its children, now."""
        await self._process.stop(timedelta(0))
        await self.ended()

    async def ended(self) -> str:
        """Return how it ended, once it has and its children have been told."""
        await self._process.wait()
        self._lose(self._process.cause_of_exit())
        return self._process.cause_of_exit()

    def _ask(self, frame: TemplateFrame, fds: tuple[int, ...]) -> "asyncio.Future[_Answer]":
        """Return what it answers, some time.

        Raises:
            TemplateLostError: it is gone.
        """
        if self._is_lost:
            raise TemplateLostError("the template has ended")
        question = _Question(has_work=bool(frame.taken))
        try:
            send_frame(self._control, frame, fds)
        except BlockingIOError:
            if not frame.taken:
                raise TemplateLostError("the template does not listen") from None
            return self._ask(replace(frame, taken=b""), fds)  # the socket is full of messages
        except OSError as cause:
            raise TemplateLostError("the template has ended") from cause
        self._asked.append(question)
        return question.answer

    def _read(self) -> None:
        """Take what has come; called whenever something has."""
        try:
            while (received := receive_frame(self._control)) is not None:
                self._heed(received[0])
        except BlockingIOError:
            return
        except FlwrError:
            log.exception("A template is out of its mind", extra={"event": "bug"})
        asyncio.get_running_loop().remove_reader(self._control)
        self._dying = asyncio.create_task(self.ended())

    def _heed(self, frame: TemplateFrame) -> None:
        if frame.verb is Verb.EXITED:
            if (child := self._children.pop(frame.pid, None)) is not None:
                child.end(frame.code)
            self._tell_when_idle()
            return
        if not self._asked:
            raise InvalidError("a template answered before it was asked")
        question = self._asked.popleft()
        answer: _Answer = frame
        if frame.verb is Verb.FORKED:
            answer = self._children[frame.pid] = ForkedChild(
                frame.pid, question.oom_before, has_begun=question.has_work
            )
        if not question.answer.done():  # whoever asked may be gone
            question.answer.set_result(answer)

    def _lose(self, how: str) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        for question in self._asked:
            if not question.answer.done():
                question.answer.set_exception(TemplateLostError(f"the template {how}"))
        self._asked.clear()
        for child in self._children.values():  # the kernel has killed them with it
            child.end(_KILLED, lost_with=how)
        self._children.clear()
        self._tell_when_idle()

    def _tell_when_idle(self) -> None:
        if not self._children and self.on_idle is not None:
            self.on_idle()


def _in_memory(content: bytes) -> int:
    """Return the descriptor of a file that is in no directory."""
    descriptor = os.memfd_create("fab")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
