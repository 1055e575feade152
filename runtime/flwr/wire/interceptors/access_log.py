"""One line per call: DEBUG, or WARNING when credentials were refused.

Inner interceptors may add facts to the line of the call they look at (``add_fact``), such as the
fingerprint of an unknown key, so that one refusal is one line.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import grpc

from flwr.core.clock import Clock, SystemClock
from flwr.wire.interceptors.guarding import (
    Handler,
    Layer,
    Request,
    Rpc,
    StreamCall,
    UnaryCall,
    rewritten,
)
from flwr.wire.status import StatusCode

logger = logging.getLogger(__name__)

_facts: ContextVar[dict[str, object] | None] = ContextVar("facts", default=None)


def add_fact(name: str, value: object) -> None:
    """Add a fact to the log line of the present call; no secrets.

    Args:
        name: of the field.
        value: its value; a function without arguments is called only if the line is written.
    """
    facts = _facts.get()
    if facts is not None:
        facts[name] = value


class AccessLog(Layer):
    """Writes the line when the call has ended, however it ended."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def around(self, method: str, handler: Handler) -> Handler:
        """Log the calls of one method."""

        def unary(call: UnaryCall) -> UnaryCall:
            async def logged(request: Request, rpc: Rpc) -> Any:
                facts, started = self._begin(rpc)
                try:
                    return await call(request, rpc)
                except asyncio.CancelledError:
                    facts.setdefault("status", StatusCode.CANCELLED.name)
                    raise
                finally:
                    self._write(method, rpc, facts, started)

            return logged

        def stream(call: StreamCall) -> StreamCall:
            async def logged(request: Request, rpc: Rpc) -> AsyncGenerator[Any, None]:
                facts, started = self._begin(rpc)
                try:
                    async with aclosing(call(request, rpc)) as responses:
                        async for response in responses:
                            yield response
                except (asyncio.CancelledError, GeneratorExit):
                    facts.setdefault("status", StatusCode.CANCELLED.name)
                    raise
                finally:
                    self._write(method, rpc, facts, started)

            return logged

        return rewritten(handler, unary, stream)

    def _begin(self, rpc: Rpc) -> tuple[dict[str, object], float]:
        # The peer is read now: after a cancelled call gRPC has freed what peer() looks at.
        facts: dict[str, object] = {"peer": rpc.peer()}
        _facts.set(facts)
        return facts, self._clock.monotonic()

    def _write(self, method: str, rpc: Rpc, facts: dict[str, object], started: float) -> None:
        # The error interceptor has said how it ended; only a servicer's own abort is asked for.
        facts.setdefault("status", _status_name(rpc.code()))
        log_call(method, self._clock.monotonic() - started, facts)


def log_call(method: str, duration_s: float, facts: Mapping[str, object]) -> None:
    """Write the line of a call.

    Args:
        method: full path.
        duration_s: how long it took.
        facts: its ``status`` by name, its ``peer``, and what else there is; functions are called.
    """
    is_refused = facts["status"] == StatusCode.UNAUTHENTICATED.name
    level = logging.WARNING if is_refused else logging.DEBUG
    if not logger.isEnabledFor(level):
        return
    logger.log(
        level,
        "Call refused: no valid proof of identity" if is_refused else "Call",
        extra={
            "event": "call-refused" if is_refused else "call",
            "method": method,
            "duration_s": round(duration_s, 6),
            **{name: fact() if callable(fact) else fact for name, fact in facts.items()},
        },
    )


def _status_name(code: object) -> str:
    """Return the name of a status that gRPC keeps as None, a number or its own enum."""
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    return StatusCode(number).name if isinstance(number, int) else StatusCode.OK.name
