"""How an executor and its templates speak: what that costs, and what arrives."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from flwr.runner.template_frames import (
    MOST_TAKEN_ALONG,
    TemplateFrame,
    Verb,
    receive_frame,
    send_frame,
)
from tests.unit.runner.forking import begin, bundle_of, templates_with

QUICK = """
@client.train()
def train(message, context):
    return says(message, word="done")
"""


@pytest.mark.slow
def test_a_fork_is_asked_for_without_a_task_and_several_may_be_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    bundle = bundle_of(tmp_path, QUICK)

    async def scenario() -> list[str]:
        made: list[str] = []

        def note(loop: Any, coroutine: Any, **options: Any) -> Any:
            made.append(coroutine.__qualname__)
            return asyncio.Task(coroutine, loop=loop, **options)

        async with templates_with() as templates:
            await (await begin(templates, bundle)).done()
            asyncio.get_running_loop().set_task_factory(note)
            await (await begin(templates, bundle)).done()
            asyncio.get_running_loop().set_task_factory(None)
            works = await asyncio.gather(*(begin(templates, bundle) for _ in range(3)))
            assert len({work.child.pid for work in works}) == 3
            for work in works:
                await work.done()
        return made

    made = asyncio.run(scenario())

    assert not [name for name in made if "Template" in name]


@pytest.mark.parametrize(
    "frame",
    [
        TemplateFrame(Verb.EXITED, pid=7, code=-9),
        TemplateFrame(Verb.UNFIT, why="it said: a b=c\nd"),
        TemplateFrame(Verb.LOAD, fab_hash="f" * 64),
        TemplateFrame(Verb.FORK, environment={"A": "", "B": "x=y z", "C": "\udce4"}),
        TemplateFrame(Verb.FORK, environment={"A": "1"}, taken=bytes(range(256))),
        TemplateFrame(Verb.FORK, taken=bytes(MOST_TAKEN_ALONG)),
    ],
)
def test_what_templates_and_executors_say_arrives_as_it_was_said(frame: TemplateFrame) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        send_frame(ours, frame)

        assert receive_frame(theirs) == (frame, [])
