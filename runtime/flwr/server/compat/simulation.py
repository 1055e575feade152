"""``start_simulation``: legacy clients on virtual nodes, from a script, without any app."""

import warnings
from collections.abc import Mapping
from typing import Any

from flwr.app import Context
from flwr.app.console_log import configure_console
from flwr.clientapp import ClientApp
from flwr.clientapp.legacy_client import ClientFn, require_client_fn
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.server.client_manager import ClientManager
from flwr.server.compat.app import start_grid
from flwr.server.history import History
from flwr.server.server import Server
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.strategy import Strategy
from flwr.simulation.engine import Simulation, open_grid
from flwr.simulation.resources import read_needs
from flwr.simulation.run import describe_run, pickle_app

_NO_RUN = RunId(0)  # upstream's number: there is no SuperLink to know a run


def start_simulation(
    *,
    client_fn: ClientFn,
    num_clients: int,
    clients_ids: list[str] | None = None,
    client_resources: Mapping[str, float] | None = None,
    server: Server | None = None,
    config: ServerConfig | None = None,
    strategy: Strategy | None = None,
    client_manager: ClientManager | None = None,
    ray_init_args: Mapping[str, Any] | None = None,  # noqa: ARG001  Ray is not used
    keep_initialised: bool | None = False,  # noqa: ARG001
    actor_type: Any = None,  # noqa: ARG001
    actor_kwargs: Mapping[str, Any] | None = None,  # noqa: ARG001
    actor_scheduling: Any = "DEFAULT",  # noqa: ARG001
) -> History:
    """Run rounds with ``num_clients`` virtual clients; deprecated, use ``flwr run``.

    Args:
        client_fn: makes a client from the context of its node, whose config holds texts.
        num_clients: how many.
        clients_ids: not supported.
        client_resources: ``num_cpus`` says how many clients work at a time.
        server: runs the rounds; one is made if absent.
        config: how long the run goes on; one round if absent.
        strategy: FedAvg if absent.
        client_manager: a SimpleClientManager if absent.
        ray_init_args: ignored.
        keep_initialised: ignored.
        actor_type: ignored.
        actor_kwargs: ignored.
        actor_scheduling: ignored.

    Returns:
        Losses and metrics.

    Raises:
        ValueError: ``clients_ids`` was given.
        RuntimeError: the simulation is impossible.
    """
    warnings.warn(
        "flwr.simulation.start_simulation is deprecated, make an app and use `flwr run`, or "
        "flwr.simulation.run_simulation",
        DeprecationWarning,
        stacklevel=2,
    )
    if clients_ids is not None:
        raise ValueError("clients_ids is not supported; client_fn gets ids 0 to num_clients - 1")
    configure_console()
    try:
        simulation = Simulation(
            client_app=pickle_app(ClientApp(client_fn=_with_texts(client_fn))),
            run=describe_run(_NO_RUN),
            num_supernodes=num_clients,
            needs=read_needs(client_resources or {}),
        )
        with open_grid(simulation) as grid:
            return start_grid(
                grid=grid,
                server=server,
                config=config,
                strategy=strategy,
                client_manager=client_manager,
            )
    except FlwrError as error:
        raise RuntimeError(
            f"{error.message}; {error.hint}" if error.hint else error.message
        ) from error


def _with_texts(client_fn: ClientFn) -> ClientFn:
    """Return ``client_fn`` with the node's config as texts, as it always was here."""
    make = require_client_fn(client_fn)

    def client_of(context: Context) -> Any:
        context.node_config = {key: str(value) for key, value in context.node_config.items()}
        return make(context)

    return client_of
