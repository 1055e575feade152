"""The SuperLink's three ports: which services each serves, behind which proofs."""

from dataclasses import dataclass, field
from functools import partial

from flwr.auth.superexec_auth import SuperExecVerifier
from flwr.auth.tls import ServerTls
from flwr.core.clock import Clock
from flwr.shell.executors import Executors
from flwr.shell.in_thread import NEVER_AT_ONCE, AtOnce, looked_up, threaded
from flwr.shell.wakeups import Wakeups
from flwr.superlink.launches import Launches
from flwr.superlink.logs import Logs
from flwr.superlink.messages import MessageExchange
from flwr.superlink.nodes import Nodes
from flwr.superlink.objects import Objects
from flwr.superlink.presence import Presence
from flwr.superlink.rpc.bulk import node_bulk, serverapp_bulk
from flwr.superlink.rpc.control import ControlServicer, add_control
from flwr.superlink.rpc.fleet import FleetServicer, NodeLogsServicer, add_fleet
from flwr.superlink.rpc.handing import Handing
from flwr.superlink.rpc.lines import LineServicer
from flwr.superlink.rpc.serverappio import LaunchesServicer, ServerAppIoServicer, add_appio
from flwr.superlink.runs import Runs
from flwr.superlink.takers import Takers
from flwr.wire.hatch_server import Hatch
from flwr.wire.interceptors.account import AccountInterceptor
from flwr.wire.interceptors.app_token import AppTokenInterceptor
from flwr.wire.interceptors.node import NodeInterceptor
from flwr.wire.server import RenewedTls, RpcServer, chain, make_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Everything a SuperLink can do, over one store."""

    runs: Runs
    launches: Launches
    executors: Executors
    nodes: Nodes
    messages: MessageExchange
    objects: Objects
    logs: Logs
    presence: Presence
    wakeups: Wakeups
    clock: Clock
    at_once: AtOnce = NEVER_AT_ONCE
    takers: Takers = field(default_factory=Takers)


def make_appio(
    address: str,
    operations: Operations,
    *,
    tls: ServerTls | None,
    clock: Clock,
    superexec: SuperExecVerifier | None = None,
    accepts_old_apps: bool = False,
    renewed_tls: RenewedTls | None = None,
    hatch: Hatch | None = None,
) -> RpcServer:
    """Bind the port of SuperExec and ServerApps.

    Raises:
        PortInUseError: another program has the port.
    """
    launches = operations.launches
    servicer = ServerAppIoServicer(
        launches=launches,
        executors=operations.executors,
        runs=operations.runs,
        nodes=operations.nodes,
        messages=operations.messages,
        objects=operations.objects,
        logs=operations.logs,
        wakeups=operations.wakeups,
        at_once=operations.at_once,
        takers=operations.takers,
    )
    proof = AppTokenInterceptor(
        looked_up(launches.live.recall, launches.live.find),
        clock=clock,
        superexec=superexec,
        accept_body_tokens=accepts_old_apps,
        find_lease_of_run=threaded(launches.find_lease_of_run),
    )
    return make_server(
        address,
        services=[
            partial(add_appio, servicer, LaunchesServicer(launches)),
            serverapp_bulk(operations.objects, operations.wakeups, hatch).register,
        ],
        tls=tls,
        interceptors=chain(proof),
        renewed_tls=renewed_tls,
    )


def make_fleet(
    address: str,
    operations: Operations,
    *,
    tls: ServerTls | None,
    clock: Clock,
    renewed_tls: RenewedTls | None = None,
) -> RpcServer:
    """Bind the port of SuperNodes.

    Raises:
        PortInUseError: another program has the port.
    """
    at_once, ids = operations.at_once, operations.nodes.ids
    find_node = looked_up(ids.recall, ids.find)
    handing = Handing(operations.messages, operations.runs, at_once)
    servicer = FleetServicer(
        nodes=operations.nodes,
        runs=operations.runs,
        messages=operations.messages,
        objects=operations.objects,
        handing=handing,
        presence=operations.presence,
        wakeups=operations.wakeups,
        at_once=at_once,
    )
    lines = LineServicer(
        find_node=find_node,
        nodes=operations.nodes,
        messages=operations.messages,
        handing=handing,
        presence=operations.presence,
        wakeups=operations.wakeups,
        takers=operations.takers,
        at_once=at_once,
    )
    proof = NodeInterceptor(find_node, clock=clock)
    return make_server(
        address,
        services=[
            partial(add_fleet, servicer, NodeLogsServicer(operations.logs)),
            node_bulk(operations.objects, operations.wakeups).register,
            lines.register,
        ],
        tls=tls,
        interceptors=chain(proof),
        renewed_tls=renewed_tls,
    )


def make_control(
    address: str,
    operations: Operations,
    *,
    tls: ServerTls | None,
    renewed_tls: RenewedTls | None = None,
) -> RpcServer:
    """Bind the port of people and their tools.

    Raises:
        PortInUseError: another program has the port.
    """
    servicer = ControlServicer(
        runs=operations.runs,
        executors=operations.executors,
        nodes=operations.nodes,
        logs=operations.logs,
        wakeups=operations.wakeups,
        clock=operations.clock,
    )
    return make_server(
        address,
        services=[partial(add_control, servicer)],
        tls=tls,
        interceptors=chain(AccountInterceptor()),
        renewed_tls=renewed_tls,
    )
