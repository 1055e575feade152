"""A simulated run put together: its nodes, its workers, and the grid its ServerApp gets."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from flwr.app.user_config import UserConfig
from flwr.core.clock import SystemClock
from flwr.core.errors import InvalidError
from flwr.core.ids import RunId
from flwr.core.simulation import SimulationConfig
from flwr.fab.entry import EntryReference
from flwr.serverapp.run_info import Run
from flwr.shell.cpus import available_cpus
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.grid import InMemoryGrid
from flwr.simulation.partitions import VirtualNodes
from flwr.simulation.pool_backend import PoolBackend
from flwr.simulation.resources import ClientNeeds, plan_workers

log = logging.getLogger(__name__)

POOL: Final = "pool"
DEFAULT_NODES: Final = 10  # wire contract §15
_KNOWN_BACKENDS: Final = frozenset({POOL, "ray"})
_THREADS: Final = "OMP_NUM_THREADS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What is simulated, and with what."""

    client_app: EntryReference | bytes  # see ``WorkerSetup``
    run: Run
    run_config: UserConfig = field(default_factory=dict)
    num_supernodes: int = DEFAULT_NODES
    needs: ClientNeeds = field(default_factory=ClientNeeds)
    workers: int | None = None  # None: as many as fit
    extra_env: Mapping[str, str] = field(default_factory=dict)


def require_backend(name: str) -> None:
    """Refuse a name that is no backend; say when another one takes its place.

    Raises:
        InvalidError: there is none of that name.
    """
    if name not in _KNOWN_BACKENDS:
        raise InvalidError(
            f"there is no simulation backend {name!r}", hint=f"use {POOL!r}, the process pool"
        )
    if name != POOL:
        log.info("Backend '%s' is not part of this release, the process pool is used", name)


def simulation_of(
    config: SimulationConfig, client_app: EntryReference, run: Run, run_config: UserConfig
) -> Simulation:
    """Return what a SuperLink's simulated federation asks for.

    Raises:
        InvalidError: it names an unknown backend.
    """
    if config.backend is not None:
        require_backend(config.backend)
    default, nodes = ClientNeeds(), config.num_supernodes
    cpus, gpus = config.client_resources_num_cpus, config.client_resources_num_gpus
    return Simulation(
        client_app=client_app,
        run=run,
        run_config=run_config,
        num_supernodes=DEFAULT_NODES if nodes is None else nodes,
        needs=ClientNeeds(
            cpus=default.cpus if cpus is None else cpus,
            gpus=default.gpus if gpus is None else gpus,
        ),
    )


@contextmanager
def open_grid(simulation: Simulation) -> Iterator[InMemoryGrid]:
    """Yield the grid of a simulated run; its workers are gone when the block is left.

    Raises:
        FlwrError: the simulation is impossible; nothing was started.
    """
    nodes = VirtualNodes(simulation.num_supernodes)
    cpus = available_cpus()
    workers = plan_workers(simulation.needs, nodes=len(nodes), cpus=cpus, wanted=simulation.workers)
    setup = WorkerSetup(
        app=simulation.client_app,
        run_id=RunId(simulation.run.run_id),
        num_partitions=len(nodes),
        run_config=simulation.run_config,
        import_path=tuple(sys.path),
    )
    # Else every worker would start as many threads for its arrays as there are CPUs.
    env = {_THREADS: str(max(cpus // workers, 1)), **os.environ, **simulation.extra_env}
    clock = SystemClock()
    backend = PoolBackend(setup, workers, clock, env=env)
    log.info("Simulating %d nodes on %d workers", len(nodes), workers)
    grid = InMemoryGrid(simulation.run, nodes, backend, clock)
    try:
        yield grid
    finally:
        grid.close()
