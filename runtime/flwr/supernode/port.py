"""The node's one port, ClientAppIo: which services it serves, behind which proofs."""

from functools import partial

from flwr.auth.superexec_auth import SuperExecVerifier
from flwr.auth.tls import ServerTls
from flwr.core.clock import Clock
from flwr.core.ids import RunId
from flwr.core.lease import Lease
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.apps import AppSessions
from flwr.supernode.leases import AppLeases
from flwr.supernode.rpc.clientappio import ClientAppIoServicer, add_clientappio
from flwr.supernode.rpc.compose import AppLogsServicer, LaunchesServicer, add_compose
from flwr.wire.interceptors.app_token import AppTokenInterceptor
from flwr.wire.server import RpcServer, chain, make_server


def make_clientappio(
    address: str,
    *,
    leases: AppLeases,
    apps: AppSessions,
    logs: AppLogs,
    wakeups: Wakeups,
    clock: Clock,
    tls: ServerTls | None = None,
    superexec: SuperExecVerifier | None = None,
    accepts_old_apps: bool = False,
) -> RpcServer:
    """Bind the port of SuperExec and ClientApps.

    Raises:
        PortInUseError: another program has the port.
        CannotListenError: the address is not this machine's, or not allowed.
    """

    async def find_lease(token_hash: str) -> Lease | None:
        return await in_thread(leases.find, token_hash)

    async def find_lease_of_run(run_id: RunId) -> Lease | None:
        return await in_thread(leases.find_for_run, run_id)

    proof = AppTokenInterceptor(
        find_lease,
        clock=clock,
        superexec=superexec,
        accept_body_tokens=accepts_old_apps,
        find_lease_of_run=find_lease_of_run,
    )
    return make_server(
        address,
        services=[
            partial(add_clientappio, ClientAppIoServicer(leases, apps, wakeups)),
            partial(add_compose, LaunchesServicer(leases), AppLogsServicer(logs)),
        ],
        tls=tls,
        interceptors=chain(proof),
    )
