"""The clock, options and reports shared by every suite."""

from collections import defaultdict
from typing import Final

import pytest

from tests.fakes.clock import FakeClock

ROWS: Final = pytest.StashKey[dict[str, list[str]]]()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rows", action="store_true", help="print which capability row is proven by which test"
    )


def pytest_configure(config: pytest.Config) -> None:
    rows: dict[str, list[str]] = defaultdict(list)
    config.stash[ROWS] = rows


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("row"):
            for row in mark.args:
                config.stash[ROWS][row].append(item.nodeid)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.getoption("--rows"):
        return
    terminalreporter.section("rows and their tests")
    for row, tests in sorted(config.stash[ROWS].items(), key=lambda r: (r[0][0], int(r[0][1:]))):
        for test in dict.fromkeys(t.split("[")[0] for t in tests):
            terminalreporter.write_line(f"{row:<4} {test}")
