"""Containers that are frozen, or whose cable is pulled, for a while: nothing is lost or doubled."""

import time

import pytest

from tests.compose.deployment import Deployment
from tests.compose.training import assert_undisturbed, await_round, online_nodes, submit

_SILENT_S = 3.0


@pytest.mark.row("F9")
@pytest.mark.parametrize("name", ["superlink", "supernode-1"])
def test_a_run_survives_a_frozen_daemon(federation: Deployment, name: str) -> None:
    run_id = submit(federation)
    await_round(federation, run_id, 2)

    with federation.project.paused(name):
        time.sleep(_SILENT_S)

    assert_undisturbed(federation, run_id)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        pytest.param("supernode-1", "fleet", marks=pytest.mark.row("F15")),
        ("serverapp", "serverapp-io"),
        ("clientapp-1", "clientapp-io-1"),
    ],
)
def test_a_run_survives_a_pulled_cable(federation: Deployment, name: str, network: str) -> None:
    nodes = online_nodes(federation)
    run_id = submit(federation)
    await_round(federation, run_id, 2)

    with federation.project.disconnected(name, network):
        time.sleep(_SILENT_S)

    assert_undisturbed(federation, run_id)
    assert online_nodes(federation) == nodes
