"""A home of their own for deployments of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.toolset import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder of a person with the checkout's examples at hand."""
    here = tmp_path_factory.mktemp("sdk")
    (here / "examples").symlink_to(ROOT / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("FLWR_HOME", str(here / "home"))
        yield here
