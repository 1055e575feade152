"""A fresh SuperLink over a real SQLite store."""

from collections.abc import Iterator

import pytest

from flwr.fab.build import build_fab
from flwr.store.store import open_store
from tests.fakes.clock import FakeClock
from tests.fakes.operations import await_operations
from tests.harness.apps import TINY
from tests.unit.superlink.federation import Link


@pytest.fixture(scope="session")
def fab() -> bytes:
    return build_fab(TINY).content


@pytest.fixture
def link(clock: FakeClock, fab: bytes) -> Iterator[Link]:
    store = open_store(":memory:")
    yield Link(store, clock, fab)
    await_operations()
    store.close()
