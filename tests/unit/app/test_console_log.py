import io
import logging
from collections.abc import Iterator

import pytest

from flwr.app.console_log import configure_console, log, logger


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = (logger.level, logger.handlers[:], logger.propagate)
    yield
    logger.setLevel(before[0])
    logger.handlers[:], logger.propagate = before[1], before[2]


def printed(level: int, text: str, *args: object, shown_from: str | None = None) -> str:
    stream = io.StringIO()
    configure_console(stream, level=shown_from)
    log(level, text, *args)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("level", "line"),
    [
        (logging.INFO, "\033[92mINFO \033[0m:      x 1\n"),
        (logging.WARNING, "\033[93mWARNING \033[0m:   x 1\n"),
        (logging.ERROR, "\033[91mERROR \033[0m:     x 1\n"),
        (logging.CRITICAL, "\033[95mCRITICAL \033[0m:  x 1\n"),
        (logging.DEBUG, ""),
    ],
)
def test_lines_look_as_users_know_them(level: int, line: str) -> None:
    assert printed(level, "x %s", 1) == line


def test_the_time_is_shown_at_debug_only() -> None:
    line = printed(logging.DEBUG, "x", shown_from="debug")

    assert line.startswith("\033[94mDEBUG 20")
    assert line.endswith("\033[0m:     x\n")


def test_the_variable_sets_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_LOG_LEVEL", "ERROR")

    assert printed(logging.WARNING, "x") == ""


def test_configuring_twice_prints_once() -> None:
    configure_console(io.StringIO())

    assert printed(logging.INFO, "x").count("x") == 1
