"""Containers that are frozen, or whose cable is pulled, for a while: nothing is lost or doubled."""

import time

import pytest

from tests.compose.deployment import Deployment
from tests.compose.training import assert_undisturbed, await_round, online_nodes, submit

_SILENT_S = 2.0
CABLES = (
    ("supernode-1", "fleet"),
    ("serverapp", "serverapp-io"),
    ("clientapp-1", "clientapp-io-1"),
)


@pytest.mark.row("F9")
def test_a_run_survives_frozen_daemons(federation: Deployment) -> None:
    """The SuperLink in the first round, a SuperNode in the second."""
    run_id = submit(federation)

    for number, name in enumerate(("superlink", "supernode-1"), start=1):
        await_round(federation, run_id, number)
        with federation.project.paused(name):
            time.sleep(_SILENT_S)

    assert_undisturbed(federation, run_id)


@pytest.mark.long
@pytest.mark.row("F15")
def test_a_run_survives_pulled_cables(federation: Deployment) -> None:
    """One per round: a node's way out, then either executor's way to its daemon."""
    nodes = online_nodes(federation)
    run_id = submit(federation)

    for number, (name, network) in enumerate(CABLES, start=1):
        await_round(federation, run_id, number)
        with federation.project.disconnected(name, network):
            time.sleep(_SILENT_S)

    assert_undisturbed(federation, run_id)
    assert online_nodes(federation) == nodes
