"""The runner's side of its app's calls: check, forward, remember what a crash would leave open."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.core.message import Delivery
from flwr.runner.outcome import REPORT_METHOD, Report, decode_report
from flwr.runner.relay import Relay, require_allowed
from flwr.wire.appio_methods import method_of
from flwr.wire.clients.runner import (
    LaunchedRun,
    decode_inputs,
    decode_instruction,
    pull_inputs_request,
    pull_message_request,
)
from flwr.wire.pipe import Request

_PULL_MESSAGE: Final = method_of(AppKind.CLIENTAPP, "PullMessage")
_TURNS_TO_SETTLE: Final = 3  # of the event loop, until what the app printed before a call is read


class AppCalls:
    """Answers the app's calls, and knows how far it got."""

    def __init__(
        self, relay: Relay, kind: AppKind, *, before_outputs: Callable[[], Awaitable[None]]
    ) -> None:
        self._relay, self._kind = relay, kind
        self._before_outputs = before_outputs
        self._instruction: bytes | None = None
        self._ahead: dict[str, asyncio.Future[bytes]] = {}  # answers to what it will ask
        self.has_replied = False
        """True once a ClientApp began to push its reply."""
        self.is_finished = False
        """True while and after the app's outputs are pushed: a dead lease is no surprise then."""
        self.report: Report | None = None
        """What the app said of its end."""
        self.reported = asyncio.Event()
        self.launched: asyncio.Future[LaunchedRun] = asyncio.get_running_loop().create_future()
        """The run, as soon as the app has its inputs."""

    async def pull_inputs(self) -> tuple[bytes, LaunchedRun]:
        """Pull the app's inputs before it asks; they can be pulled once.

        Its process is answered with what ``expect_inputs`` is given.

        Raises:
            FlwrError: the daemon's.
        """
        method = method_of(self._kind, "PullAppInputs")
        inputs = await self._forward(Request(method, pull_inputs_request()))
        launched = decode_inputs(inputs)
        self.launched.set_result(launched)
        return inputs, launched

    def pull_message_ahead(self, run_id: RunId) -> None:
        """Pull a ClientApp's instruction while its process starts."""
        request = Request(_PULL_MESSAGE, pull_message_request(run_id))
        self._ahead[_PULL_MESSAGE] = asyncio.create_task(self._forward(request))

    def expect_inputs(self, inputs: bytes) -> None:
        """Answer the app's ``PullAppInputs`` with this."""
        held = asyncio.get_running_loop().create_future()
        held.set_result(inputs)
        self._ahead[method_of(self._kind, "PullAppInputs")] = held

    async def close(self) -> None:
        """Forget what the app never asked for."""
        left = list(self._ahead.values())
        for answer in left:
            answer.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def answer(self, request: Request) -> bytes:
        """Answer one call of the app.

        Raises:
            FlwrError: the daemon's, or the call is none an app may make.
        """
        if request.method == REPORT_METHOD:
            self.report = decode_report(request.body)
            self.reported.set()
            return b""
        require_allowed(self._kind, request)
        if request.method == method_of(self._kind, "PushAppOutputs"):
            return await self._finish(request)
        if request.method == method_of(AppKind.CLIENTAPP, "PushMessage"):
            self.has_replied = True
        ahead = self._ahead.pop(request.method, None)
        response = await (self._forward(request) if ahead is None else ahead)
        if request.method == method_of(self._kind, "PullAppInputs") and not self.launched.done():
            self.launched.set_result(decode_inputs(response))
        elif request.method == _PULL_MESSAGE:
            self._instruction = response
        return response

    def launched_run(self) -> LaunchedRun | None:
        """Return the run, None when the app died before it had its inputs."""
        return self.launched.result() if self.launched.done() else None

    def instruction(self) -> Delivery | None:
        """Return what a ClientApp was asked, None when it died before it knew."""
        return None if self._instruction is None else decode_instruction(self._instruction)

    async def _finish(self, request: Request) -> bytes:
        for _ in range(_TURNS_TO_SETTLE):
            await asyncio.sleep(0)
        if self._kind is AppKind.CLIENTAPP:
            await self._before_outputs()  # the token is dead after this call
        self.is_finished = True
        try:
            return await self._forward(request)
        except BaseException:
            self.is_finished = False
            raise

    async def _forward(self, request: Request) -> bytes:
        return await self._relay.call(request.method, request.body, metadata=request.metadata)
