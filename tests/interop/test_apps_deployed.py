"""The apps of ``tests/interop/apps`` in federations of processes: ours, mixed ones, upstream's own.

All is real here, upstream's side too. Expected is what upstream's package computes in one process.
A federation per app and release is long; ``matrix`` runs every app in upstream's own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import Toolset
from tests.interop.app_list import APPS, InteropApp
from tests.interop.app_results import assert_equal, play, results_in
from tests.interop.conftest import PATIENT
from tests.simulation.commands import config

pytestmark = [PATIENT, pytest.mark.long]

BY_NAME = {app.name: app for app in APPS}
COMPARABLE = sorted((app for app in APPS if not app.by_node_id), key=lambda app: app.nodes)
REFUSED_BY_UPSTREAM = {"former-names"}
"""Its SuperLink takes no records of the former classes; only its simulation does."""

SIZES = sorted({app.nodes for app in COMPARABLE})

ORDER_TOLERANCE = 1e-6
"""At least: replies arrive in any order, and sums of floats depend on it."""


@pytest.fixture(scope="module", params=SIZES, ids=lambda nodes: f"{nodes}-nodes")
def federation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    """Our SuperLink with as many of our SuperNodes as the apps of the test need."""
    nodes = int(request.param)
    root = tmp_path_factory.mktemp(f"ours-{nodes}")
    with Federation(root, tls=True, nodes=nodes) as federation:
        federation.start_superlink()
        for number in range(1, nodes + 1):
            federation.start_node(number, of=nodes)
        federation.await_nodes(nodes)
        yield federation


def expected(app: InteropApp, peer: Toolset, folder: Path, **overrides: object) -> list[str]:
    """Return what upstream's package makes of an app."""
    (played,) = play(peer, [app], folder / "expected.json", **overrides)
    return results_in(played.printed)


def finish(federation: Federation, app: InteropApp, **overrides: object) -> list[str]:
    """Run an app to its end; return what it printed of its results."""
    submitted = federation.submit(app.folder, *config({**app.config, **overrides}))
    run = federation.await_end(submitted)
    log = federation.log_of(run["run-id"])
    assert run["status"] == "finished:completed", log
    return results_in(log)


@pytest.mark.parametrize(
    ("app", "federation"),
    [(app, app.nodes) for app in COMPARABLE],
    indirect=["federation"],
    ids=lambda value: getattr(value, "name", ""),
)
def test_our_deployment_gives_upstreams_results(
    app: InteropApp, federation: Federation, peer: Toolset, tmp_path: Path
) -> None:
    wanted = expected(app, peer, tmp_path)

    assert_equal(finish(federation, app), wanted, max(app.tolerance, ORDER_TOLERANCE))


@pytest.mark.parametrize("tls", [False], indirect=True, ids=["insecure"])
@pytest.mark.parametrize("name", ["numpy-fedavg", "default-workflow"])
def test_our_client_works_under_upstreams_server(
    upstreams_federation: Federation, peer: Toolset, name: str, tmp_path: Path
) -> None:
    once = {"num-rounds": 1}
    wanted = expected(BY_NAME[name], peer, tmp_path, **once)

    assert finish(upstreams_federation, BY_NAME[name], **once) == wanted


@pytest.mark.parametrize("tls", [False], indirect=True, ids=["insecure"])
def test_a_node_of_each_release_hides_behind_the_other(
    upstreams_federation: Federation, peer: Toolset, tmp_path: Path
) -> None:
    app = BY_NAME["secure-aggregation"]

    assert finish(upstreams_federation, app) == expected(app, peer, tmp_path)


def test_upstreams_client_works_under_our_server(tmp_path: Path, peer: Toolset) -> None:
    app, once = BY_NAME["numpy-fedavg"], {"num-rounds": 1}
    with Federation(tmp_path, tls=False) as federation:
        federation.start_superlink()
        federation.start_node(1)
        federation.start_node(2, peer)
        federation.await_nodes(2)

        found = finish(federation, app, **once)

    assert found == expected(app, peer, tmp_path, **once)


@pytest.mark.matrix
@pytest.mark.parametrize(
    "app",
    [app for app in COMPARABLE if app.name not in REFUSED_BY_UPSTREAM],
    ids=lambda app: app.name,
)
def test_upstreams_deployment_gives_the_results_it_gives_in_one_process(
    app: InteropApp, peer: Toolset, tmp_path: Path
) -> None:
    """What all other tests rest on: driving upstream's package in one process changes nothing."""
    with Federation(tmp_path, tls=False, nodes=app.nodes) as federation:
        federation.start_superlink(peer)
        for number in range(1, app.nodes + 1):
            federation.start_node(number, peer, of=app.nodes)
        federation.await_nodes(app.nodes)
        options = config(app.config) if app.config else ()

        done = federation.flwr(
            "run", str(app.folder), CONNECTION, "--stream", *options, tools=peer, timeout=300
        )

    wanted = expected(app, peer, tmp_path)
    assert results_in(done.stdout), done.stdout[-3000:]
    assert_equal(results_in(done.stdout), wanted, max(app.tolerance, ORDER_TOLERANCE))
