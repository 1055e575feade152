"""Settings of a simulated federation: changed by its members, overridden by a run, kept."""

from collections.abc import Callable

import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.core.errors import NotFoundError
from flwr.core.run import RunType
from flwr.core.simulation import SimulationConfig
from flwr.proto import control_pb2
from flwr.superlink.federations import NotSimulatedError
from flwr.superlink.runs import Runs, Submission
from tests.unit.superlink.federation import Link
from tests.unit.superlink.served import Served, on_a_served_link


def simulating(link: Link) -> Callable[..., SimulationConfig]:
    """Return what a run gets on a SuperLink that simulates."""
    runs = Runs(link.store, link.clock, run_type=RunType.SIMULATION)

    def submit(said: SimulationConfig | None = None) -> SimulationConfig:
        run = runs.submit(NO_LOGIN, Submission(fab=link.fab, override_config={}, simulation=said))
        assert run.simulation is not None
        return run.simulation

    return submit


def test_what_members_change_holds_for_later_runs_and_each_run_may_override_it(link: Link) -> None:
    submit = simulating(link)
    assert submit().num_supernodes == 10

    runs = Runs(link.store, link.clock, run_type=RunType.SIMULATION)
    runs.configure_simulation(NO_LOGIN, "", SimulationConfig(num_supernodes=4, verbose=True))
    runs.configure_simulation(NO_LOGIN, "", SimulationConfig(num_supernodes=5))

    changed = submit()
    assert (changed.num_supernodes, changed.verbose, changed.backend) == (5, True, "ray")
    assert submit(SimulationConfig(num_supernodes=2)).num_supernodes == 2
    afresh = Runs(link.store, link.clock, run_type=RunType.SIMULATION)
    assert afresh.show_federation(NO_LOGIN, "").config == changed
    with link.store.reading() as tx:
        kinds = [event.kind for event in tx.events.list()]
    assert kinds.count("federation.simulation-configured") == 2


def test_only_a_simulated_federation_that_exists_has_settings(link: Link) -> None:
    with pytest.raises(NotSimulatedError, match="executed by SuperNodes"):
        link.runs.configure_simulation(NO_LOGIN, "", SimulationConfig(num_supernodes=4))
    runs = Runs(link.store, link.clock, run_type=RunType.SIMULATION)
    with pytest.raises(NotFoundError, match="does not exist"):
        runs.configure_simulation(NO_LOGIN, "@acme/x", SimulationConfig(num_supernodes=4))
    assert link.runs.show_federation(NO_LOGIN, "").config is None


def test_the_rpc_changes_them(link: Link) -> None:
    link.runs = Runs(link.store, link.clock, run_type=RunType.SIMULATION)

    async def body(served: Served) -> None:
        request = control_pb2.ConfigureSimulationFederationRequest(federation_name="@none/default")
        request.config.num_supernodes = 3
        await served.control.ConfigureSimulationFederation(request)
        shown = await served.control.ShowFederation(
            control_pb2.ShowFederationRequest(federation_name="@none/default")
        )
        assert shown.federation.simulation
        assert shown.federation.config.num_supernodes == 3

    on_a_served_link(link, body)
