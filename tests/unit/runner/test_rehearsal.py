"""A template goes the way of a message before it has one; nothing of that stays behind."""

import gc
import socket
import sys
import threading
from types import CodeType, FrameType
from typing import Final

import numpy as np
import pytest

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.app.npy import _parsed, _written
from flwr.clientapp.stand_in import stand_in_app, stand_in_metadata
from flwr.runner import rehearsal
from flwr.runner.clientapp_flow import run_imported
from flwr.wire.clients.taken import encode_taken
from flwr.wire.objects import deflate
from flwr.wire.pipe import PipeCaller

MOST: Final = 228  # different functions; 236 when the parser of headers was numpy's


def test_a_rehearsal_goes_the_whole_way_and_leaves_no_thread() -> None:
    reached: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            reached.add(frame.f_code.co_qualname)

    threads = set(threading.enumerate())  # some of other tests may end meanwhile
    sys.setprofile(note)
    try:
        rehearsal.rehearse()
    finally:
        sys.setprofile(None)

    assert {"inflate", "ClientApp.__call__", "deflate", "ClientAppIoClient.finished"} <= reached
    assert set(threading.enumerate()) <= threads


def test_a_rehearsal_that_fails_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "_taken", lambda: b"\xff")

    with pytest.raises(Exception, match="cannot be read"):
        rehearsal.rehearse()


def test_a_small_message_is_answered_by_few_different_functions() -> None:
    """Each one is four pages that a fork copies, and what a model is like is new to a fork."""
    rehearsal.rehearse()
    content = RecordDict({"arrays": ArrayRecord([np.zeros(77, np.float32)])})
    message = Message(metadata=stand_in_metadata(rehearsal._RUN.run_id), content=content)
    context = Context(rehearsal._RUN.run_id, 2, {"partition": 1}, RecordDict(), {"rounds": 1})
    taken = encode_taken(rehearsal._RUN, context, deflate(message).delivery())
    _parsed.cache_clear()
    _written.cache_clear()
    app, reached = stand_in_app(), set[CodeType]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            reached.add(frame.f_code)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        caller = PipeCaller(theirs)
        gc.collect()
        gc.disable()  # finalizers of what other tests left are no steps of ours
        sys.setprofile(note)
        try:
            report = run_imported(caller, app, taken)
        finally:
            sys.setprofile(None)
            gc.enable()

    assert report.finish
    assert len(reached) < MOST, sorted(code.co_qualname for code in reached)
