"""The runner's side of its app's calls: check, forward, remember what a crash would leave open."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.runner.outcome import REPORT_METHOD, Report, decode_report
from flwr.runner.relay import Relay, require_allowed
from flwr.wire.appio_methods import TAKE_LAUNCH, method_of
from flwr.wire.clients.runner import RunnerClient, decode_launched
from flwr.wire.clients.work import Work
from flwr.wire.pipe import Request

T = TypeVar("T")
_PULL_INPUTS: Final = method_of(AppKind.SERVERAPP, "PullAppInputs")
_PUSH_OUTPUTS: Final = method_of(AppKind.SERVERAPP, "PushAppOutputs")
_PUSH_MESSAGE: Final = method_of(AppKind.CLIENTAPP, "PushMessage")


class Output(Protocol):
    """What the app prints, on its way to the daemon."""

    def read_now(self) -> None:
        """Take what the app has printed up to now."""
        ...

    async def take(self) -> Sequence[str]:
        """Return what is left to send."""
        ...

    async def flush(self) -> None:
        """Send what is left."""
        ...


class AppCalls:
    """Answers an app's calls, and knows how far it got."""

    def __init__(self, relay: Relay, kind: AppKind) -> None:
        self.kind = kind
        self.relay = relay
        self.is_finished = False
        """True while and after the app's outputs are pushed: a dead lease is no surprise then."""
        self.finishing: asyncio.Task[None] | None = None
        """Gives back what a ClientApp left, once it has said its last word."""
        self.reported: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        """What the app said of its end."""
        self.launched: asyncio.Future[RunId] = asyncio.get_running_loop().create_future()
        """The run, as soon as the app has its inputs."""

    @property
    def report(self) -> Report | None:
        """What the app said of its end, None while it has not."""
        return self.reported.result() if self.reported.done() else None

    async def answer(self, request: Request) -> bytes:
        """Answer one call of the app.

        Raises:
            FlwrError: the daemon's, or the call is none an app may make.
        """
        require_allowed(self.kind, request)
        return await self._serve(request)

    def hear(self, word: Request) -> None:
        """Take the app's last word.

        Raises:
            InvalidError: it is something else.
        """
        if word.method == REPORT_METHOD:
            self._note(decode_report(word.body))

    def _note(self, report: Report) -> None:
        if not self.reported.done():
            self.reported.set_result(report)

    async def _serve(self, request: Request) -> bytes:
        return await self.relay.call(request.method, request.body, metadata=request.metadata)

    async def _finish(self, finish: Coroutine[Any, Any, T]) -> T:
        self.is_finished = True
        try:
            return await finish
        except BaseException:
            self.is_finished = False
            raise


class ServerAppCalls(AppCalls):
    """Forwards the calls of a ServerApp."""

    def __init__(self, relay: Relay) -> None:
        super().__init__(relay, AppKind.SERVERAPP)

    async def _serve(self, request: Request) -> bytes:
        if request.method == _PUSH_OUTPUTS:
            return await self._finish(super()._serve(request))
        response = await super()._serve(request)
        if request.method == _PULL_INPUTS and not self.launched.done():
            self.launched.set_result(decode_launched(response))
        return response


class ClientAppCalls(AppCalls):
    """Gives a ClientApp its work, and its outcome back.

    Args:
        relay: to the SuperNode.
        work: what came with the launch; None: it is pulled when it is first needed.
    """

    def __init__(self, relay: Relay, work: Work | None = None) -> None:
        super().__init__(relay, AppKind.CLIENTAPP)
        self._daemon = RunnerClient(relay, kind=AppKind.CLIENTAPP)
        self._pulling = asyncio.Lock()
        self._work: Work | None = None
        self.output: Output | None = None
        self.has_bundle = False
        """True when the app's process has imported the app already."""
        self.has_begun = False
        """True once the app was given its work."""
        self.has_replied = False
        """True once it began to push its reply by calls of its own."""
        if work is not None:
            self._accept(work)

    async def work(self) -> Work:
        """Return what the app is to do.

        Raises:
            FlwrError: the daemon's.
        """
        async with self._pulling:
            return self._work or self._accept(await self._daemon.pull_work())

    async def give_back(self, outcome: bytes) -> None:
        """Finish in place of the app.

        Raises:
            FlwrError: the daemon's.
        """
        await self._daemon.finish(await self.work(), outcome)

    async def finished(self, patience_s: float | None) -> bool:
        """Tell whether what the app left was given back; False: it left nothing, or time is up.

        Raises:
            FlwrError: the daemon did not take it.
        """
        if self.finishing is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self.finishing
        return not self.finishing.cancelled()

    def _accept(self, work: Work) -> Work:
        self._work = work
        self.launched.set_result(work.run_id)
        return work

    async def _serve(self, request: Request) -> bytes:
        if request.method == TAKE_LAUNCH:
            work = await self.work()
            self.has_begun = True
            return work.for_app(with_bundle=not self.has_bundle)
        if request.method == _PUSH_MESSAGE:
            self.has_replied = True
            # Not later: upstream's SuperNode loses a reply that it finds before the app's outputs.
            await self._send_output()
        return await super()._serve(request)

    def _note(self, report: Report) -> None:
        if report.finish and not self.reported.done():
            if self.output is not None:
                self.output.read_now()
            self.finishing = asyncio.create_task(self._finish(self._give_all_back(report.finish)))
        super()._note(report)

    async def _give_all_back(self, outcome: bytes) -> None:
        work = await self.work()
        printed: Sequence[str] = ()
        if self.output is not None:  # the token is dead after the next call
            if work.was_taken_whole:
                printed = await self.output.take()
            else:
                await self.output.flush()
        await self._daemon.finish(work, outcome, printed=printed)

    async def _send_output(self) -> None:
        if self.output is not None:
            self.output.read_now()
            await self.output.flush()
