from collections.abc import Iterator

import pytest

from tests.unit.supernode import given


@pytest.fixture(autouse=True)
def _close_stores() -> Iterator[None]:
    yield
    while given.OPEN_STORES:
        given.OPEN_STORES.pop().close()
