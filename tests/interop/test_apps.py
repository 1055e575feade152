"""Apps written for upstream's package, run from the same files by upstream and by us.

Upstream's side is always its released package in a virtual environment of its own, run in one
process: its ClientApp, ServerApp, mods, strategies, workflows and records are real, the Grid
between them is that of ``in_process.py``, since upstream's own engines need Ray, or 3 s per poll.

Our side is run twice. Once in the same way, to compare every message and every log line; once for
real, by ``flwr-simulation``: bundle, pool of worker processes, pipes. ``test_apps_deployed.py``
adds federations of processes, upstream's too.

Equal means equal in every bit, if ``app_list.py`` states no tolerance with its reason.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.toolset import OURS, Toolset, upstream
from tests.interop.app_list import APPS, FOLDER, InteropApp
from tests.interop.app_results import Played, assert_equal, lines_in, play, results_in
from tests.interop.conftest import PATIENT, require
from tests.simulation.commands import config
from tests.simulation.commands import run as simulate

pytestmark = PATIENT


def by_both(folder: Path, peer: Toolset, **config: object) -> dict[str, tuple[Played, Played]]:
    """Run all apps with our package and with upstream's, side by side."""
    with ThreadPoolExecutor(2) as pool:
        ours, theirs = (
            pool.submit(play, tools, APPS, folder / f"{tools.name}.json", **config)
            for tools in (OURS, peer)
        )
        pairs = zip(ours.result(), theirs.result(), strict=True)
        return {app.name: pair for app, pair in zip(APPS, pairs, strict=True)}


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory, peer: Toolset
) -> dict[str, tuple[Played, Played]]:
    """Every app, run in one process by our package and by upstream's."""
    return by_both(tmp_path_factory.mktemp("played"), peer)


def test_every_app_is_in_the_list() -> None:
    found = sorted(path.parent.name for path in FOLDER.glob("*/pyproject.toml"))

    assert [app.name for app in APPS] == found
    assert len(found) >= 12
    assert all(bool(app.tolerance) == bool(app.reason) for app in APPS)


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_messages_logs_and_results_are_upstreams(
    app: InteropApp, played: dict[str, tuple[Played, Played]]
) -> None:
    ours, theirs = played[app.name]

    assert results_in(ours.printed)
    assert_equal(
        lines_in(ours.printed, app.other_words),
        lines_in(theirs.printed, app.other_words),
        0 if app.equal_messages else app.tolerance,
    )
    assert len(ours.wire) == len(theirs.wire)
    if app.equal_messages:
        assert [without_hint(line) for line in ours.wire] == list(theirs.wire)


@pytest.mark.row("S42", "S48")  # custom-strategy, nested-config
@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_our_simulation_gives_upstreams_results(
    app: InteropApp, played: dict[str, tuple[Played, Played]], tmp_path: Path
) -> None:
    _, theirs = played[app.name]

    output, document = simulate(
        tmp_path, app.folder, app.nodes, "--workers", "2", *config(app.config)
    )

    assert document["status"] == "completed", output[-3000:]
    assert_equal(results_in(output), results_in(theirs.printed), app.tolerance)


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["1.26.1", "1.28.0"])
def test_other_releases_give_the_same_results(
    version: str, played: dict[str, tuple[Played, Played]], tmp_path: Path
) -> None:
    found = play(require(upstream(version)), APPS, tmp_path / "result.json")

    for app, this in zip(APPS, found, strict=True):
        _, theirs = played[app.name]
        assert_equal(results_in(this.printed), results_in(theirs.printed), app.tolerance)


def without_hint(line: str) -> str:
    """Return a message without what we add to upstream's words about an unknown function."""
    return line.replace(" (registered: train.default)", "")
