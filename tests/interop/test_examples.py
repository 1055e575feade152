"""The examples are apps of upstream's as well: its released package runs the same files alike.

The one with XGBoost and the one with PyTorch stay out: upstream's environment has neither.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.harness.examples import BY_NAME
from tests.harness.toolset import OURS, Toolset
from tests.interop.app_list import InteropApp
from tests.interop.app_results import Played, assert_equal, play
from tests.interop.conftest import PATIENT

pytestmark = PATIENT


class ExampleApp(InteropApp):
    """An app of ``examples/``."""

    @property
    def folder(self) -> Path:
        return BY_NAME[self.name].folder


APPS: Final = (
    ExampleApp("logistic-regression", 3, 1e-9, "sums of floats in another order"),
    ExampleApp("sklearn-mlp", 3, config={"num-server-rounds": 2}),
    ExampleApp("federated-analytics", 5),
)


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory, peer: Toolset
) -> dict[str, tuple[Played, Played]]:
    """Every app, run in one process by our package and by upstream's."""
    folder = tmp_path_factory.mktemp("examples")
    with ThreadPoolExecutor(2) as pool:
        ours, theirs = (
            pool.submit(play, tools, APPS, folder / f"{tools.name}.json") for tools in (OURS, peer)
        )
        pairs = zip(ours.result(), theirs.result(), strict=True)
        return {app.name: pair for app, pair in zip(APPS, pairs, strict=True)}


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_upstream_runs_the_example_to_the_same_result(
    app: InteropApp, played: dict[str, tuple[Played, Played]]
) -> None:
    ours, theirs = played[app.name]

    results = [re.findall(r"^Result: .*$", each.printed, re.MULTILINE) for each in (ours, theirs)]
    assert results[0] == results[1]
    assert len(results[0]) == 1
    assert_equal(_bare(ours.wire, app), _bare(theirs.wire, app), app.tolerance)


def _bare(wire: Sequence[str], app: InteropApp) -> list[str]:
    """Return messages; without digests of arrays, which tell the last bit, if that may differ."""
    if not app.tolerance:
        return list(wire)
    return [re.sub(r"'[0-9a-f]{16}'", "DIGEST", line) for line in wire]
