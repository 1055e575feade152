"""A template goes the way of a message before it has one; nothing of that stays behind."""

import sys
import threading
from types import FrameType

import pytest

from flwr.runner import rehearsal


def test_a_rehearsal_goes_the_whole_way_and_leaves_no_thread() -> None:
    reached: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            reached.add(frame.f_code.co_qualname)

    threads = threading.active_count()
    sys.setprofile(note)
    try:
        rehearsal.rehearse()
    finally:
        sys.setprofile(None)

    assert {"inflate", "ClientApp.__call__", "deflate", "ClientAppIoClient.finished"} <= reached
    assert threading.active_count() == threads


def test_a_rehearsal_that_fails_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "_taken", lambda: b"\xff")

    with pytest.raises(Exception, match="cannot be read"):
        rehearsal.rehearse()
