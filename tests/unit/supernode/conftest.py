from collections.abc import Iterator

import pytest

from tests.fakes.operations import await_operations
from tests.unit.supernode import given


@pytest.fixture(autouse=True)
def _close_stores() -> Iterator[None]:
    yield
    await_operations()
    while given.OPEN_STORES:
        given.OPEN_STORES.pop().close()
