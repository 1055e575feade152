"""Forks of templates that answer one message each, their calls served without a daemon."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, RecordDict
from flwr.core.errors import UnimplementedError
from flwr.core.limits import MAX_TEMPLATES, TEMPLATE_IDLE
from flwr.runner.calls import ClientAppCalls
from flwr.runner.relay import Relay
from flwr.runner.template_process import ForkedChild
from flwr.runner.templates import Templates
from flwr.wire.clients.work import Bundle
from flwr.wire.pipe import Request
from flwr.wire.pipe_server import PipeServer
from flwr.wire.transport import NO_METADATA, with_token
from tests.unit.runner.appio_server import TOKEN, SuperNode, build_app

SAYS = """
from flwr.app import ConfigRecord
def says(message, **facts):
    return Message(RecordDict({"facts": ConfigRecord(facts)}), reply_to=message)
"""


@dataclass
class Work:
    """One message in the hands of a fork."""

    child: ForkedChild
    node: SuperNode
    serving: "asyncio.Task[None]"
    printed: int

    async def done(self) -> dict[str, Any]:
        """Wait for the fork's end, and return the facts of its reply."""
        await self.ended()
        facts: dict[str, Any] = dict(self.node.answer().content["facts"])
        return facts

    async def ended(self) -> int:
        """Wait for the fork's end, and return its exit code."""
        async with asyncio.timeout(60):
            code = await self.child.wait()
            await self.serving
        return code

    def output(self) -> str:
        """Return what it printed; call when it has ended."""
        with os.fdopen(self.printed) as file:
            return file.read()


def bundle_of(folder: Path, code: str) -> Bundle:
    content = build_app(folder, SAYS + code)
    return Bundle(sha256(content).hexdigest(), content)


async def fork(
    templates: Templates, bundle: Bundle, environment: Mapping[str, str] = NO_METADATA
) -> Work | None:
    """Give one message to a fork of the app's template."""
    node = SuperNode(bundle.content, RecordDict({"config": ConfigRecord({"word": "hello"})}))
    ours, theirs = socket.socketpair()
    printed, output = os.pipe()
    child = None
    try:
        child = await templates.fork(bundle, theirs.fileno(), output, environment)
    finally:
        theirs.close()
        os.close(output)
        if child is None:
            ours.close()
            os.close(printed)
    if child is None:
        return None
    return Work(child, node, asyncio.create_task(_serve(ours, node)), printed)


async def begin(
    templates: Templates, bundle: Bundle, environment: Mapping[str, str] = NO_METADATA
) -> Work:
    work = await fork(templates, bundle, environment)
    assert work is not None, "the app should have had a template"
    return work


@asynccontextmanager
async def templates_with(
    *, limit: int = MAX_TEMPLATES, idle: timedelta = TEMPLATE_IDLE
) -> AsyncIterator[Templates]:
    templates = Templates(limit=limit, idle=idle)
    try:
        async with asyncio.timeout(60):
            yield templates
    finally:
        await templates.close()


class _NoNetwork(Relay):
    """Carries the calls of an app to its stand-in."""

    def __init__(self, node: SuperNode) -> None:
        self._methods = node._methods()

    async def call(
        self,
        method: str,
        request: bytes,
        *,
        metadata: Mapping[str, str] = NO_METADATA,
        patience: timedelta | None = None,
    ) -> bytes:
        answer = self._methods[method.rpartition("/")[2]]
        response = await answer(with_token(method, request, TOKEN))
        content: bytes = response.SerializeToString()
        return content

    async def stream(
        self, request: Request, more: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        for nothing in list[bytes]():
            yield nothing
        raise UnimplementedError("no streams here")


async def _serve(sock: socket.socket, node: SuperNode) -> None:
    calls = ClientAppCalls(_NoNetwork(node))
    calls.has_bundle = True
    server = PipeServer(sock, calls.answer, calls.hear, calls.relay.stream)
    try:
        await server.ended
        if calls.finishing is not None:
            await calls.finishing
    finally:
        server.close()
