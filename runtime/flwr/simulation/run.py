"""``run_simulation``: a ServerApp and a ClientApp at hand, run on virtual nodes from a script."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from flwr.app import Context, RecordDict
from flwr.app.console_log import configure_console, logger
from flwr.clientapp import ClientApp
from flwr.core.clock import SystemClock
from flwr.core.errors import FailedPreconditionError, FlwrError, InvalidError
from flwr.core.ids import RunId, new_run_id
from flwr.core.run import RunType
from flwr.serverapp import ServerApp
from flwr.serverapp.run_info import Run, RunStatus
from flwr.simulation.backends import require_backend
from flwr.simulation.engine import Simulation, open_grid
from flwr.simulation.resources import read_needs

log = logging.getLogger(__name__)

FEDERATION: Final = "@none/default"
_BACKEND_KEYS: Final = frozenset({"init_args", "client_resources", "actor", "app_start"})
_TF_GROWTH: Final = "TF_FORCE_GPU_ALLOW_GROWTH"


def run_simulation(
    server_app: ServerApp,
    client_app: ClientApp,
    num_supernodes: int,
    backend_name: str = "ray",
    backend_config: Mapping[str, Any] | None = None,
    enable_tf_gpu_growth: bool = False,
    verbose_logging: bool = False,
) -> None:
    """Run ``server_app`` here, and ``client_app`` in workers for each of the virtual nodes.

    A script needs no ``if __name__ == "__main__"``: workers do not import it.

    Args:
        server_app: run in the calling thread.
        client_app: sent to the workers by cloudpickle.
        num_supernodes: number of virtual nodes.
        backend_name: ``pool`` or ``ray``, which the pool replaces where Ray is not available.
        backend_config: ``client_resources`` with ``num_cpus`` says how many work at a time;
            ``app_start`` of ``fresh`` gives every message a process of its own; ``init_args`` and
            ``actor`` concern Ray alone.
        enable_tf_gpu_growth: TensorFlow in the workers takes GPU memory as it needs it.
        verbose_logging: show debug messages.

    Raises:
        RuntimeError: the ServerApp failed, or the simulation is impossible.
    """
    configure_console(level="DEBUG" if verbose_logging else None)
    run = describe_run(new_run_id())
    context = Context(
        run_id=run.run_id, node_id=0, node_config={}, state=RecordDict(), run_config={}
    )
    try:
        require_backend(backend_name)
        config = _read_config(backend_config or {})
        simulation = Simulation(
            client_app=pickle_app(client_app),
            run=run,
            num_supernodes=num_supernodes,
            needs=read_needs(config.get("client_resources", {})),
            backend=backend_name,
            init_args=config.get("init_args", {}),
            starts_fresh=config.get("app_start", "warm") == "fresh",
            extra_env={_TF_GROWTH: "true"} if enable_tf_gpu_growth else {},
        )
        with open_grid(simulation) as grid:
            server_app(grid, context)
    except FlwrError as error:
        raise RuntimeError(
            f"{error.message}; {error.hint}" if error.hint else error.message
        ) from error
    except Exception as error:
        logger.error("ServerApp raised an exception")
        raise RuntimeError("the simulation failed: its ServerApp raised an exception") from error


def describe_run(
    run_id: RunId, *, fab_id: str = "", fab_version: str = "", fab_hash: str = ""
) -> Run:
    """Return what a ServerApp may know of a run that no SuperLink knows of."""
    now = SystemClock().now().isoformat()
    return Run(
        run_id=run_id,
        fab_id=fab_id,
        fab_version=fab_version,
        fab_hash=fab_hash,
        override_config={},
        pending_at=now,
        starting_at=now,
        running_at=now,
        finished_at="",
        status=RunStatus(status="running", sub_status="", details=""),
        flwr_aid="",
        federation=FEDERATION,
        bytes_sent=0,
        bytes_recv=0,
        clientapp_runtime=0.0,
        run_type=RunType.SIMULATION.value,
    )


def pickle_app(app: ClientApp) -> bytes:
    """Return ``app`` as bytes that workers can load without importing the script it is from.

    Raises:
        FailedPreconditionError: the package for it is not installed.
    """
    try:
        import cloudpickle  # noqa: PLC0415  # an optional dependency
    except ImportError as cause:
        raise FailedPreconditionError(
            "a simulation from a script needs the package cloudpickle",
            hint="pip install 'flwr-compose[simulation]', or run the app with flwr-simulation",
        ) from cause
    pickled: bytes = cloudpickle.dumps(app)
    return pickled


def _read_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    named = {key.replace("-", "_"): value for key, value in config.items()}
    if unknown := sorted(named.keys() - _BACKEND_KEYS):
        raise InvalidError(
            f"backend_config has unknown keys: {', '.join(unknown)}",
            hint=f"known keys: {', '.join(sorted(_BACKEND_KEYS))}",
        )
    if (start := named.get("app_start", "warm")) not in {"warm", "fresh"}:
        raise InvalidError(f"backend_config has app_start {start!r}", hint="use 'warm' or 'fresh'")
    return named
