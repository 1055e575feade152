"""One FAB in a deployment, on the pool, on Ray and in upstream's simulation: one final model.

The parameters are printed in full and compared number by number.  Replies come in any order in a
deployment and upstream's nodes have ids of chance, so sums of floats may differ in their last bits:
what is compared may differ by TOLERANCE of its size.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.harness.federation import Federation
from tests.harness.simulator import start_simulator, virtual
from tests.harness.toolset import Toolset
from tests.interop.app_list import FOLDER
from tests.interop.app_results import assert_equal, results_in
from tests.interop.telling import TOLERANCE, telling_digits
from tests.simulation.commands import config

pytestmark = [
    pytest.mark.timeout(1500),  # above the deadlines of five runs
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

NODES: Final = 3
COMPLETED: Final = "finished:completed"
BRIEF: Final = {"digits": {"num-server-rounds": 2}}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, which prints its models as the apps of this folder do."""
    return telling_digits(tmp_path_factory.mktemp("telling"))


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory, peer: Toolset
) -> Iterator[Callable[[str], Federation]]:
    """Return each federation by its name; it is started by whoever asks first."""
    with ExitStack() as stack:

        @cache
        def open_(name: str) -> Federation:
            federation = Federation(tmp_path_factory.mktemp(name), tls=False, nodes=NODES)
            stack.enter_context(federation)
            if name == "upstream":
                start_simulator(federation, peer)
            elif name == "simulator":
                start_simulator(federation)
            else:
                federation.start_superlink()
                for number in range(1, NODES + 1):
                    federation.start_node(number, of=NODES)
                federation.await_nodes(NODES)
            return federation

        yield open_


ENGINES: Final = {
    "deployment": ("deployment", ()),
    "pool": ("simulator", virtual(NODES, backend="pool")),
    "ray": ("simulator", virtual(NODES, backend="ray")),
}
"""Each engine of ours: whose federation it is, and what a run is submitted with."""

PATIENCE_S: Final = 300  # to the end of a run, while others start their Rays

APPS: Final = [
    "digits",
    "numpy-fedavg",
    pytest.param("custom-strategy", marks=pytest.mark.long),
    pytest.param("mods-in-a-row", marks=pytest.mark.long),
]


@pytest.mark.row("S70", "S71", "S75")
@pytest.mark.parametrize("name", APPS)
def test_every_engine_ends_with_the_same_parameters(
    name: str, digits: Path, opened: Callable[[str], Federation]
) -> None:
    app = digits if name == "digits" else FOLDER / name

    fab, wanted = finish(opened("upstream"), app, *virtual(NODES))

    assert any(line.startswith(("model", "outcome")) for line in wanted), wanted
    for engine, (federation, options) in ENGINES.items():
        found_fab, found = finish(opened(federation), app, *options)
        assert found_fab == fab, engine
        assert_equal(found, wanted, TOLERANCE)


def finish(federation: Federation, app: Path, *options: str) -> tuple[str, list[str]]:
    """Run an app to its end; return the hash of its FAB and what it printed of its models."""
    settings = config(BRIEF[app.name]) if app.name in BRIEF else ()
    run_id = federation.submit(app, *options, *settings)
    run, log = federation.await_end(run_id, PATIENCE_S), federation.log_of(run_id)
    assert run["status"] == COMPLETED, log[-3000:]
    return run["fab-hash"], results_in(log)
