"""A simulated run put together: its nodes, its workers, and the grid its ServerApp gets."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from flwr.app.user_config import UserConfig
from flwr.core.capacity import AppNeeds
from flwr.core.clock import SystemClock
from flwr.core.ids import RunId
from flwr.core.simulation import SimulationConfig
from flwr.fab.entry import EntryReference
from flwr.fab.manifest import AppManifest
from flwr.serverapp.run_info import Run
from flwr.simulation.backend import Order, WorkerSetup
from flwr.simulation.backends import POOL, make_backend, require_backend
from flwr.simulation.display import Display
from flwr.simulation.grid import InMemoryGrid
from flwr.simulation.partitions import VirtualNodes

log = logging.getLogger(__name__)

DEFAULT_NODES: Final = 10  # wire contract §15


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What is simulated, and with what."""

    client_app: EntryReference | bytes  # see ``WorkerSetup``
    run: Run
    bundle: bytes | None = None  # see ``WorkerSetup``
    starts_fresh: bool = False  # see ``WorkerSetup``
    run_config: UserConfig = field(default_factory=dict)
    num_supernodes: int = DEFAULT_NODES
    needs: AppNeeds = field(default_factory=AppNeeds)
    workers: int | None = None  # None: as many as fit
    backend: str = POOL
    init_args: Mapping[str, Any] = field(default_factory=dict)  # of a cluster
    extra_env: Mapping[str, str] = field(default_factory=dict)


def simulation_of(
    config: SimulationConfig,
    app: AppManifest,
    run: Run,
    run_config: UserConfig,
    bundle: bytes | None = None,
) -> Simulation:
    """Return what a SuperLink's simulated federation asks for.

    Raises:
        InvalidError: it names an unknown backend.
    """
    backend = POOL if config.backend is None else config.backend
    require_backend(backend)
    default, nodes = AppNeeds(), config.num_supernodes
    cpus, gpus = config.client_resources_num_cpus, config.client_resources_num_gpus
    return Simulation(
        client_app=app.clientapp,
        run=run,
        bundle=bundle,
        starts_fresh=app.wants_fresh_start,
        run_config=run_config,
        num_supernodes=DEFAULT_NODES if nodes is None else nodes,
        backend=backend,
        needs=AppNeeds(
            cpus=default.cpus if cpus is None else cpus,
            gpus=default.gpus if gpus is None else gpus,
        ),
        init_args=_init_args(config),
    )


def _init_args(config: SimulationConfig) -> dict[str, Any]:
    """Return the arguments of ``ray.init`` that somebody has set."""
    said = {
        "num_cpus": config.init_args_num_cpus,
        "num_gpus": config.init_args_num_gpus,
        "logging_level": config.init_args_logging_level,
        "log_to_driver": config.init_args_log_to_driver,
    }
    return {name: value for name, value in said.items() if value is not None}


@contextmanager
def open_grid(simulation: Simulation) -> Iterator[InMemoryGrid]:
    """Yield the grid of a simulated run; its workers are gone when the block is left.

    Raises:
        FlwrError: the simulation is impossible; nothing was started.
    """
    nodes = VirtualNodes(simulation.num_supernodes)
    with closing(Display()) as display, _opened(simulation, nodes, display) as grid:
        yield grid


@contextmanager
def _opened(
    simulation: Simulation, nodes: VirtualNodes, display: Display
) -> Iterator[InMemoryGrid]:
    order = Order(
        setup=WorkerSetup(
            app=simulation.client_app,
            run_id=RunId(simulation.run.run_id),
            num_partitions=len(nodes),
            run_config=simulation.run_config,
            import_path=tuple(sys.path),
            bundle=simulation.bundle,
            starts_fresh=simulation.starts_fresh,
        ),
        nodes=len(nodes),
        needs=simulation.needs,
        workers=simulation.workers,
        env=simulation.extra_env,
        init_args=simulation.init_args,
        output=display.worker_output,
    )
    clock = SystemClock()
    backend = make_backend(simulation.backend, order, clock)
    plan = backend.plan
    log.info(
        "Simulating %d nodes on %d workers of %s (%s each)",
        *(len(nodes), plan.workers, plan.where, plan.each),
    )
    grid = InMemoryGrid(simulation.run, nodes, backend, clock)
    with display.showing(grid.tally, clock):
        try:
            yield grid
        finally:
            grid.close()
