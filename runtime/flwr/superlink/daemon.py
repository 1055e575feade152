"""The SuperLink's composition root: the only file that builds things.

Start, each step only after the one before:
    1. open the store (created, migrated, or refused with a remedy); agree with the key list
    2. give every node and every running ServerApp a full patience: the silence was ours
    3. bind every port, so that a taken one is said before anything is served
    4. serve ServerAppIo, so that ServerApps that outlived a crash find their leases intact
    5. serve Fleet, then Control; health says SERVING
    6. start the SuperExec (subprocess isolation) and the reaper
Stop, at SIGTERM or SIGINT:
    1. health says NOT_SERVING
    2. held calls are answered, ports are closed, open calls get a second
    3. the SuperExec is stopped; ServerApps keep their leases for the next start
    4. the store is closed; exit status 0
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from flwr.auth.certificate_watch import CertificateWatch
from flwr.auth.node_keys import load_public_keys
from flwr.auth.tls import ServerTls, TlsFiles
from flwr.core.clock import Clock, SteadyClock, SystemClock
from flwr.core.lease import AppKind
from flwr.core.run import RunType
from flwr.shell.appio import AppIoSecurity, appio_security, check_appio
from flwr.shell.executors import Executors
from flwr.shell.health import told
from flwr.shell.in_thread import AtOnce, in_thread
from flwr.shell.orphans import orphans_reaped
from flwr.shell.signals import stop_requests
from flwr.shell.superexec import SuperExecKeeper, superexec_argv
from flwr.shell.wakeups import Wakeups
from flwr.store.store import Store, open_store
from flwr.superlink.absences import Absences
from flwr.superlink.config import SuperLinkConfig
from flwr.superlink.launches import Launches
from flwr.superlink.logs import Logs
from flwr.superlink.messages import MessageExchange
from flwr.superlink.nodes import Nodes
from flwr.superlink.objects import Objects
from flwr.superlink.ports import Operations, make_appio, make_control, make_fleet
from flwr.superlink.presence import Presence
from flwr.superlink.reaper import Reaper
from flwr.superlink.runs import Runs
from flwr.superlink.traffic import Traffic
from flwr.superlink.uploads import Uploads
from flwr.wire.channel import client_address
from flwr.wire.hatch_server import Hatch, open_hatch
from flwr.wire.health import Health
from flwr.wire.listening import until_resolvable
from flwr.wire.server import RenewedTls, RpcServer

logger = logging.getLogger(__name__)


async def serve(config: SuperLinkConfig) -> None:
    """Run the SuperLink until it is asked to stop.

    Raises:
        FlwrError: something it needs (store, port, certificate) is not to be had.
    """
    wall = SystemClock()
    clock = SteadyClock(wall)
    with (
        stop_requests() as stop,
        orphans_reaped(),
        closing(await in_thread(_open_store, config)) as store,
    ):
        wakeups = Wakeups()
        store.subscribe(wakeups.ring)
        operations = _build_operations(store, clock, config, wakeups)
        reaper = Reaper(
            store,
            clock,
            nodes=operations.nodes,
            launches=operations.launches,
            messages=operations.messages,
        )
        await in_thread(_prepare, config, operations, reaper)
        security = appio_security(config.appio, config.run_dir, wall)
        await until_resolvable((config.appio.address, config.fleet_address, config.control_address))
        hatch = open_hatch(in_thread)
        servers = _bind(config, operations, security, wall, hatch)
        health = Health()
        async with told(health, config.reporting.health), asyncio.TaskGroup() as tasks:
            try:
                for server in servers:
                    await server.start()
                health.set_serving()
                logger.info("SuperLink serves", extra={"event": "serving"})
                beside = [tasks.create_task(reaper.run(wakeups), name="reaper")]
                if hatch is not None:
                    beside.append(tasks.create_task(hatch.serve(), name="hatch"))
                if (keeper := _keeper(config, servers, security, wall)) is not None:
                    beside.append(tasks.create_task(keeper.run(), name="superexec"))
                await stop.wait()
            finally:
                logger.info("SuperLink is stopping", extra={"event": "stopping"})
                health.set_not_serving()
                wakeups.close()
                await asyncio.gather(*(server.stop() for server in servers))
            for task in beside:
                task.cancel()
    logger.info("SuperLink stopped", extra={"event": "stopped"})


def _open_store(config: SuperLinkConfig) -> Store:
    has_url = "://" in config.database
    return open_store(
        config.database, payload_dir=config.state_dir / "objects" if has_url else None
    )


def _build_operations(
    store: Store, clock: Clock, config: SuperLinkConfig, wakeups: Wakeups
) -> Operations:
    traffic, uploads, absences = Traffic(), Uploads(), Absences()
    nodes = Nodes(store, clock, absences, is_open=not config.requires_node_auth)
    run_type = RunType.SIMULATION if config.is_simulation else RunType.SERVERAPP
    return Operations(
        runs=Runs(store, clock, run_type=run_type),
        launches=Launches(store, clock),
        executors=Executors(clock),
        nodes=nodes,
        presence=Presence(nodes, clock),
        messages=MessageExchange(store, clock, traffic=traffic, uploads=uploads, absences=absences),
        objects=Objects(store, traffic, uploads),
        logs=Logs(store, clock),
        wakeups=wakeups,
        clock=clock,
        at_once=AtOnce(store),
    )


def _prepare(config: SuperLinkConfig, operations: Operations, reaper: Reaper) -> None:
    if config.node_keys is not None:
        operations.nodes.seed(load_public_keys(config.node_keys))
    elif not config.requires_node_auth and not config.is_simulation:
        logger.warning(
            "Open federation: any SuperNode that reaches the Fleet API may join; "
            "give --node-keys FILE to admit listed ones only",
            extra={"event": "open-federation"},
        )
    reaper.forgive()


def _bind(
    config: SuperLinkConfig,
    operations: Operations,
    security: AppIoSecurity,
    clock: Clock,
    hatch: Hatch | None,
) -> list[RpcServer]:
    """Bind every port, ServerAppIo first."""
    servers = [
        make_appio(
            config.appio.address,
            operations,
            tls=security.tls,
            renewed_tls=security.renewed_tls,
            superexec=security.verifier,
            accepts_old_apps=config.appio.accepts_old_apps,
            clock=clock,
            hatch=hatch,
        ),
    ]
    if not config.is_simulation:
        tls, renewed = _public_tls(config.tls, clock)
        fleet = partial(make_fleet, config.fleet_address, operations, clock=clock)
        servers.append(fleet(tls=tls, renewed_tls=renewed))
    tls, renewed = _public_tls(config.tls, clock)
    servers.append(make_control(config.control_address, operations, tls=tls, renewed_tls=renewed))
    return servers


def _public_tls(files: TlsFiles | None, clock: Clock) -> tuple[ServerTls | None, RenewedTls | None]:
    """Return what one port shows, and its own watch: a watch tells of a renewal only once."""
    if files is None:
        return None, None
    watch = CertificateWatch(files, clock)
    return watch.load(), watch.renewed


def _keeper(
    config: SuperLinkConfig,
    servers: Sequence[RpcServer],
    security: AppIoSecurity,
    clock: Clock,
) -> SuperExecKeeper | None:
    if not config.appio.starts_superexec:
        return None
    argv = superexec_argv(
        client_address(servers[0].address),
        AppKind.SERVERAPP,
        root_certificates=security.root_certificates,
        secret=security.secret,
        flags=config.executor_flags,
    )
    return SuperExecKeeper(argv, clock, apps_live_on=True)


def check(config: SuperLinkConfig) -> None:
    """Read every file the configuration names, and open nothing.

    Raises:
        FlwrError: one is missing, malformed, or does not fit the others.
    """
    clock = SystemClock()
    if config.tls is not None:
        CertificateWatch(config.tls, clock).load()
    check_appio(config.appio, clock)
    if config.node_keys is not None:
        load_public_keys(config.node_keys)
