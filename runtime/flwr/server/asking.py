"""Asking many clients at once, a thread for each, and telling answers from failures."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from flwr.common.typing import Code, EvaluateRes, FitRes
from flwr.server.client_proxy import ClientProxy

Ins = TypeVar("Ins")
Res = TypeVar("Res")
Judged = TypeVar("Judged", FitRes, EvaluateRes)


def ask_all(
    ask: Callable[[ClientProxy, Ins], tuple[ClientProxy, Res]],
    instructions: Sequence[tuple[ClientProxy, Ins]],
    max_workers: int | None,
) -> tuple[list[tuple[ClientProxy, Res]], list[BaseException]]:
    """Call ``ask`` for every instruction.

    Args:
        ask: waits for the client's answer and returns it with the client.
        instructions: whom, and what.
        max_workers: how many are asked at the same time; None: all.

    Returns:
        Answers and exceptions, each in the order of ``instructions``.
    """
    if not instructions:
        return [], []
    with ThreadPoolExecutor(max_workers or len(instructions)) as pool:
        asked: list[Future[tuple[ClientProxy, Res]]] = [
            pool.submit(ask, client, ins) for client, ins in instructions
        ]
    answers = [done.result() for done in asked if done.exception() is None]
    raised = [cause for done in asked if (cause := done.exception()) is not None]
    for cause in raised:
        if not isinstance(cause, Exception):  # such as the end of the run: not a client's failure
            raise cause
    return answers, raised


def judge(
    answers: list[tuple[ClientProxy, Judged]],
) -> tuple[list[tuple[ClientProxy, Judged]], list[tuple[ClientProxy, Judged]]]:
    """Return the answers whose status is OK, and the others."""
    good = [pair for pair in answers if pair[1].status.code == Code.OK]
    return good, [pair for pair in answers if pair[1].status.code != Code.OK]
