"""The template of one app: a process that imported it once, and is forked for each message.

It has one socket, to its executor: no token, no network, no thread.  A child is like a fresh
interpreter that has just imported the app; it gets its own session, output, confinement and
random numbers, and one socket to its runner.  The template waits for its children and tells how
they ended.  It never calls the app, and never decides what it is asked.
"""

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from flwr.core.errors import FlwrError
from flwr.runner.child import end_politely_on_sigterm, prepare, report_on, share_output
from flwr.runner.outcome import RunEndedError
from flwr.runner.template_frames import TemplateFrame, Verb, receive_frame, send_frame
from flwr.shell.confinement import enter_fence, make_fence
from flwr.shell.death_signal import die_with_parent, outlive_parent
from flwr.shell.ending import end, leave_own_logging
from flwr.shell.process_name import name_process

if TYPE_CHECKING:  # loads numpy, which starts threads: only after confinement
    from flwr.clientapp import ClientApp
    from flwr.fab.watch import AppWatch
    from flwr.shell.freshness import Freshness

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_BUG: Final = 1


class _UnfitError(Exception):
    """This app cannot have a template; the text says why."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The imported app."""

    app: "ClientApp"
    watch: "AppWatch"
    freshness: "Freshness"


def main(argv: Sequence[str]) -> int:
    """Serve one executor; never returns in a child.

    Args:
        argv: the descriptor of the socket, and a directory that is withheld if any.
    """
    descriptor, *withheld = argv
    die_with_parent()
    name_process("flwr-template")
    share_output()
    end_politely_on_sigterm()
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    with suppress(RunEndedError, OSError):  # told to end before it had an app, or nobody is there
        _serve(control, Path(withheld[0]) if withheld else None)
    return 0


def _serve(control: socket.socket, withheld: Path | None) -> None:
    try:
        prepare(withheld)
        from flwr.runner.rehearsal import rehearse  # noqa: PLC0415  # imports what any app needs

        rehearse()
        loaded = _load(control)
    except (_UnfitError, FlwrError) as error:
        send_frame(control, TemplateFrame(Verb.UNFIT, why=str(error)))
        return
    if loaded is None:
        return
    gc.freeze()  # children do not copy what a collection would only look at
    outlive_parent()  # the end of its socket tells, and then there are children to kill
    send_frame(control, TemplateFrame(Verb.LOADED))
    _Nursery(control, loaded).run()


def _load(control: socket.socket) -> _Loaded | None:
    """Import the app that the executor names; None when it names none any more.

    Raises:
        _UnfitError: the app needs a fresh interpreter for each message.
        FlwrError: it cannot be loaded; a fresh interpreter will say so to whom it concerns.
    """
    asked = receive_frame(control)
    if asked is None or asked[0].verb is not Verb.LOAD:
        return None
    frame, (bundle, output) = asked
    for target in (_STDOUT, _STDERR):
        os.dup2(output, target)
    os.close(output)
    with os.fdopen(bundle, "rb") as file:
        content = file.read()
    try:
        return _import(content, frame.fab_hash)
    finally:
        _flush()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for target in (_STDOUT, _STDERR):  # whoever reads the output waits for its end
            os.dup2(nowhere, target)
        os.close(nowhere)


def _import(content: bytes, fab_hash: str) -> _Loaded:
    from flwr.clientapp import ClientApp  # noqa: PLC0415
    from flwr.fab.load import install, load  # noqa: PLC0415
    from flwr.fab.watch import AppWatch  # noqa: PLC0415
    from flwr.shell.freshness import Freshness  # noqa: PLC0415

    installed = install(content, fab_hash)
    if installed.manifest.wants_fresh_start:
        raise _UnfitError('its pyproject.toml says app-start = "fresh"')
    watch = AppWatch(installed)
    leave_own_logging()
    freshness = Freshness()
    with freshness.importing():
        app = load(installed.manifest.clientapp, ClientApp)
    if (why := freshness.why_unfit()) is not None:
        raise _UnfitError(why)
    return _Loaded(app, watch, freshness)


class _Nursery:
    """Forks on request, and waits for every child."""

    def __init__(self, control: socket.socket, loaded: _Loaded) -> None:
        from flwr.runner.clientapp_flow import run_imported  # noqa: PLC0415

        self._control, self._loaded, self._run_imported = control, loaded, run_imported
        loaded.freshness.renew()
        self._fence = make_fence()
        self._children: dict[int, int] = {}  # pidfd to pid
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._is_retired = False

    def run(self) -> None:
        """Serve until retired and childless."""
        try:
            while not self._is_retired or self._children:
                for descriptor, _ in self._poll.poll():
                    if descriptor in self._children:
                        self._bury(descriptor)
                    else:
                        self._heed()
        except (RunEndedError, OSError):  # told to end, or the executor is gone
            self._end_children()

    def _heed(self) -> None:
        asked = receive_frame(self._control)
        if asked is None:
            raise RunEndedError("the executor is gone")
        frame, descriptors = asked
        if frame.verb is Verb.RETIRE:
            self._is_retired = True
        elif frame.verb is Verb.FORK:
            self._fork(frame, *descriptors)

    def _fork(self, frame: TemplateFrame, pipe: int, output: int) -> None:
        parent = os.getpid()
        try:
            pid = os.fork() if self._loaded.watch.is_unchanged() else None
            if pid == 0:  # it does not return: to leave what only its template needs costs pages
                self._become_child(parent, output)
                self._work(frame, pipe)
            answer = TemplateFrame(Verb.STALE) if pid is None else self._adopt(pid)
        except OSError as error:
            answer = TemplateFrame(Verb.NOT_FORKED, why=str(error))
        os.close(pipe)
        os.close(output)
        send_frame(self._control, answer)
        self._loaded.freshness.renew()  # for the next, while this one works

    def _adopt(self, pid: int) -> TemplateFrame:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._children[descriptor] = pid
        self._poll.register(descriptor, select.POLLIN)
        return TemplateFrame(Verb.FORKED, pid=pid)

    def _become_child(self, parent: int, output: int) -> None:
        try:
            os.setsid()
            die_with_parent()
            if os.getppid() != parent:  # it died before that could take effect
                os._exit(_BUG)
            name_process("flwr-clientapp")
            for descriptor in (self._control.detach(), *self._children):
                os.close(descriptor)
            for target in (_STDOUT, _STDERR):
                os.dup2(output, target)
            os.close(output)
        except BaseException:  # noqa: BLE001  # above us are the template's own frames
            os._exit(_BUG)

    def _work(self, frame: TemplateFrame, pipe: int) -> NoReturn:
        """Answer one message and end."""
        code = _BUG
        try:
            os.environ.update(frame.environment)
            enter_fence(self._fence)  # apart from its siblings too, which may be of other runs
            self._loaded.freshness.keep_seeds()
            os.set_inheritable(pipe, False)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, pipe)
            run = partial(self._run_imported, app=self._loaded.app, taken=frame.taken)
            code = report_on(run, sock)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else _BUG
        except BaseException:  # noqa: BLE001  # above us are the template's own frames
            sys.excepthook(*sys.exc_info())
        finally:
            end(code)

    def _bury(self, descriptor: int) -> None:
        pid = self._children.pop(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        send_frame(self._control, TemplateFrame(Verb.EXITED, pid=pid, code=code))

    def _end_children(self) -> None:
        for pid in self._children.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    _flush()
    os._exit(exit_code)  # what the app's import registered for the end is its children's
