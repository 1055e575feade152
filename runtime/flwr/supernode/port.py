"""The node's one port, ClientAppIo: which services it serves, behind which proofs."""

from functools import partial

from flwr.auth.superexec_auth import SuperExecVerifier
from flwr.auth.tls import ServerTls
from flwr.core.clock import Clock
from flwr.core.errors import UnavailableError
from flwr.shell.in_thread import NEVER_AT_ONCE, AtOnce, looked_up, threaded
from flwr.shell.wakeups import Wakeups
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.apps import AppSessions
from flwr.supernode.handover import Handover
from flwr.supernode.launches import WholeLaunches
from flwr.supernode.leases import AppLeases
from flwr.supernode.rpc.bulk import clientapp_bulk
from flwr.supernode.rpc.clientappio import ClientAppIoServicer, add_clientappio
from flwr.supernode.rpc.compose import (
    AppLogsServicer,
    LaunchesServicer,
    WholeLaunchesServicer,
    add_compose,
)
from flwr.supernode.rpc.tube import TubeDesks
from flwr.supernode.rpc.waiting import WaitingExecutors
from flwr.supernode.rpc.whole_launch import LaunchEnds
from flwr.wire.hatch_server import Hatch
from flwr.wire.interceptors.app_token import AppTokenInterceptor
from flwr.wire.server import PortInUseError, Register, RenewedTls, RpcServer, chain, make_server
from flwr.wire.tube_server import TubeServer


class AppIoPortTakenError(UnavailableError):
    """Another program, perhaps another SuperNode, has the port."""

    def __init__(self, cause: PortInUseError) -> None:
        """Name the address and the flag that changes it."""
        super().__init__(
            cause.message,
            hint="give this SuperNode another --clientappio-api-address (port 0 takes a free one), "
            "or stop the program that holds the port",
        )


def make_clientappio(
    address: str,
    *,
    leases: AppLeases,
    apps: AppSessions,
    launches: WholeLaunches,
    handover: Handover,
    logs: AppLogs,
    wakeups: Wakeups,
    clock: Clock,
    at_once: AtOnce = NEVER_AT_ONCE,
    tls: ServerTls | None = None,
    superexec: SuperExecVerifier | None = None,
    accepts_old_apps: bool = False,
    renewed_tls: RenewedTls | None = None,
    hatch: Hatch | None = None,
    tubes: TubeServer | None = None,
) -> RpcServer:
    """Bind the port of SuperExec and ClientApps.

    Raises:
        AppIoPortTakenError: another program has the port.
        CannotListenError: the address is not this machine's, or not allowed.
    """
    proof = AppTokenInterceptor(
        looked_up(leases.live.recall, leases.live.find),
        clock=clock,
        superexec=superexec,
        accept_body_tokens=accepts_old_apps,
        find_lease_of_run=threaded(leases.find_for_run),
    )
    waiting = WaitingExecutors(leases, wakeups, handover.executors)
    ends = LaunchEnds(leases, launches, logs, at_once)
    desks = None if tubes is None else TubeDesks(tubes, leases, ends, waiting, handover)
    services: list[Register] = [
        clientapp_bulk(apps.objects, hatch).register,
        partial(add_clientappio, ClientAppIoServicer(leases, apps, waiting)),
        partial(
            add_compose,
            LaunchesServicer(ends),
            WholeLaunchesServicer(ends, waiting, handover, desks),
            AppLogsServicer(logs),
        ),
    ]
    try:
        return make_server(
            address,
            services=services,
            tls=tls,
            interceptors=chain(proof),
            renewed_tls=renewed_tls,
        )
    except PortInUseError as cause:
        raise AppIoPortTakenError(cause) from cause
