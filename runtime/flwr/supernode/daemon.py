"""The SuperNode's composition root: the only file that builds things.

Start, each step only after the one before:
    1. open the state (created, migrated, or refused with a remedy), load or make the key
    2. bind ClientAppIo, so that a taken port is said before anybody is bothered
    3. connect to the SuperLink: register where that is ours to do, activate
    4. serve ClientAppIo; in subprocess isolation release what an earlier SuperExec held
    5. heartbeats, inbox, outbox, deadlines; the SuperExec; health says SERVING
Stop, at SIGTERM or SIGINT:
    1. no more instructions are taken; the SuperExec ends, its unfinished work waits for the next
       start (with --state-dir) or for the SuperLink to miss us
    2. replies that are complete are sent, for a few seconds at most
    3. ClientAppIo closes, the node deactivates (and unregisters, if it lived for this process only)
    4. the state is closed; exit status 0
"""

import asyncio
import logging
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from flwr.auth.certificates import load_client_tls
from flwr.auth.fab_signature import (
    TrustedEntities,
    UntrustedFabError,
    load_trusted_entities,
)
from flwr.auth.fab_signature import (
    verify_fab as verify_signature,
)
from flwr.auth.node_keys import NodeKey, load_node_key, new_node_key
from flwr.auth.tls import ClientTls
from flwr.core.clock import Clock, SteadyClock, SystemClock
from flwr.core.lease import AppKind
from flwr.core.run_config import Config
from flwr.fab.verify import verify_fab
from flwr.shell.appio import AppIoSecurity, appio_security, check_appio
from flwr.shell.executors import Executors
from flwr.shell.health import told
from flwr.shell.in_thread import AtOnce, in_thread, threaded
from flwr.shell.orphans import orphans_reaped
from flwr.shell.signals import stop_requests
from flwr.shell.superexec import SuperExecKeeper, superexec_argv
from flwr.shell.wakeups import Wakeups
from flwr.store.fabs import Fab
from flwr.store.store import Store, open_store
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.apps import AppSessions
from flwr.supernode.config import SuperNodeConfig
from flwr.supernode.fleet import FleetSession, Patience
from flwr.supernode.handover import Handover
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.inbox import Inbox
from flwr.supernode.intake import Intake
from flwr.supernode.launches import WholeLaunches
from flwr.supernode.leases import AppLeases
from flwr.supernode.membership import Membership
from flwr.supernode.outbox import Outbox
from flwr.supernode.port import make_clientappio
from flwr.supernode.runs import RunBook
from flwr.supernode.sent import SentReplies
from flwr.supernode.state import own_key, state_directory
from flwr.supernode.stopwatches import Stopwatches
from flwr.supernode.upkeep import EndedRuns, Reaper, launch_apps
from flwr.wire.channel import client_address, open_aio_channel
from flwr.wire.clients.fleet import FleetClient
from flwr.wire.diagnose import explain
from flwr.wire.hatch_server import Hatch, open_hatch
from flwr.wire.health import Health
from flwr.wire.listening import until_resolvable
from flwr.wire.server import RpcServer
from flwr.wire.tube_server import TubeServer, open_tubes

logger = logging.getLogger(__name__)

DATABASE: Final = "supernode.db"
_DRAIN: Final = timedelta(seconds=3)  # for complete replies, within compose's ten seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """The parts of a running node."""

    identity: NodeIdentity
    session: FleetSession
    leases: AppLeases
    runs: RunBook
    inbox: Inbox
    outbox: Outbox
    wakeups: Wakeups
    clock: Clock
    server: RpcServer
    hatch: Hatch | None
    tubes: TubeServer | None
    superexec: SuperExecKeeper | None


async def work(config: SuperNodeConfig) -> None:
    """Run the SuperNode until it is asked to stop.

    Raises:
        FlwrError: the SuperLink refuses the node, or something it needs is not to be had.
    """
    async with AsyncExitStack() as cleanup:
        stop = cleanup.enter_context(stop_requests())
        cleanup.enter_context(orphans_reaped())
        state_dir = cleanup.enter_context(state_directory(config.state_dir))
        store = cleanup.enter_context(
            closing(await in_thread(open_store, str(state_dir / DATABASE)))
        )
        health = Health()
        await cleanup.enter_async_context(told(health, config.reporting.health))
        node = await _build(config, state_dir, store, cleanup)
        if not await _connect(node, stop):
            return
        try:
            await _serve(node, stop, health)
        finally:
            node.session.follow(None)
            health.set_not_serving()
            node.wakeups.close()
            await node.server.stop()
            await node.session.leave()
            logger.info("SuperNode stopped", extra={"event": "stopped"})


async def _connect(node: _Node, stop: asyncio.Event) -> bool:
    """Come online; False when we were asked to stop before."""
    connecting = asyncio.create_task(node.session.connect(), name="connect")
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            return False
        await connecting
        return True
    finally:
        for task in (connecting, stopping):
            task.cancel()
        await asyncio.gather(connecting, stopping, return_exceptions=True)


async def _serve(node: _Node, stop: asyncio.Event, health: Health) -> None:
    """Do the node's work until asked to stop, then finish in order."""
    await in_thread(node.leases.renew_all)  # while we were down nobody could send a heartbeat
    await node.server.start()
    async with asyncio.TaskGroup() as tasks:
        inbox = tasks.create_task(node.inbox.run(), name="inbox")
        outbox = tasks.create_task(node.outbox.run(), name="outbox")
        beside = [
            tasks.create_task(node.session.heartbeats(), name="heartbeats"),
            tasks.create_task(Reaper(node.leases, node.wakeups, node.clock).run(), name="reaper"),
            tasks.create_task(
                EndedRuns(node.session, node.runs, node.inbox).run(), name="ended-runs"
            ),
        ]
        if node.hatch is not None:
            beside.append(tasks.create_task(node.hatch.serve(), name="hatch"))
        if node.tubes is not None:
            beside.append(tasks.create_task(node.tubes.serve(), name="tubes"))
        launching = (
            [tasks.create_task(launch_apps(node.superexec, node.leases), name="superexec")]
            if node.superexec
            else []
        )
        node.session.follow(health.tell)
        logger.info(
            "SuperNode works",
            extra={"event": "working", "appio": node.server.address},
        )
        await stop.wait()
        logger.info("SuperNode is stopping", extra={"event": "stopping"})
        node.session.follow(None)
        health.set_not_serving()
        for task in (inbox, *launching):
            task.cancel()
        await asyncio.gather(inbox, *launching, return_exceptions=True)
        if not await node.outbox.drain(_DRAIN):
            logger.warning("Replies are left to send", extra={"event": "outbox-left"})
        for task in (outbox, *beside):
            task.cancel()


async def _build(
    config: SuperNodeConfig, state_dir: Path, store: Store, cleanup: AsyncExitStack
) -> _Node:
    wall = SystemClock()
    clock = SteadyClock(wall)
    wakeups = Wakeups()
    store.subscribe(wakeups.ring)
    identity = NodeIdentity(
        registers_itself=config.private_key is None, is_ephemeral=config.state_dir is None
    )
    runs = RunBook(store, clock, identity)
    session = _session(config, _key(config, state_dir), identity, runs, store, clock, cleanup)
    leases = AppLeases(store, clock, identity, max_apps=config.max_apps)
    stopwatches, sent = Stopwatches(clock), SentReplies(store, clock)
    outbox = Outbox(store, clock, session, runs, stopwatches, wakeups, sent)
    apps = AppSessions(
        store,
        clock,
        identity,
        node_config=config.node_config,
        stopwatches=stopwatches,
        read_defaults=_read_defaults,
        replied=outbox.offer,
    )
    trust = _Trust(
        load_trusted_entities(config.trusted_entities) if config.trusted_entities else None
    )
    launches = WholeLaunches(store, clock, leases, apps, sent)
    at_once = AtOnce(store)
    handover = Handover(launches, wakeups, Executors(wall))
    intake = Intake(
        store, clock, identity, session, runs, sent, launches, is_trusted=trust.objection
    )
    security = await in_thread(appio_security, config.appio, state_dir / "run", wall)
    await until_resolvable([config.appio.address])
    share = session.fleet.push_logs if config.shares_app_logs else None
    hatch, tubes = open_hatch(in_thread), open_tubes()
    server = make_clientappio(
        config.appio.address,
        leases=leases,
        apps=apps,
        launches=launches,
        handover=handover,
        logs=AppLogs(state_dir / "app-logs", share=share),
        wakeups=wakeups,
        clock=wall,
        at_once=at_once,
        tls=security.tls,
        renewed_tls=security.renewed_tls,
        superexec=security.verifier,
        accepts_old_apps=config.appio.accepts_old_apps,
        hatch=hatch,
        tubes=tubes,
    )
    return _Node(
        identity=identity,
        session=session,
        leases=leases,
        runs=runs,
        inbox=Inbox(session, runs, intake, handover, clock, at_once),
        outbox=outbox,
        wakeups=wakeups,
        clock=clock,
        server=server,
        hatch=hatch,
        tubes=tubes,
        superexec=_superexec(config, leases, clock, server, security),
    )


def _session(
    config: SuperNodeConfig,
    key: NodeKey,
    identity: NodeIdentity,
    runs: RunBook,
    store: Store,
    clock: Clock,
    cleanup: AsyncExitStack,
) -> FleetSession:
    tls = _superlink_tls(config)
    channel = open_aio_channel(config.superlink, tls)
    cleanup.push_async_callback(channel.close)

    membership = Membership(store, runs, clock)
    fleet = FleetClient(
        channel,
        key,
        clock=SystemClock(),
        is_durable=config.state_dir is not None,
        secure=threaded(store.settle_objects),
    )
    return FleetSession(
        fleet,
        identity,
        clock,
        fingerprint=key.fingerprint,
        remembers=membership.remembers,
        adopt=membership.adopt,
        explain=lambda: explain(config.superlink, tls),
        patience=Patience(max_retries=config.max_retries, max_wait=config.max_wait),
        heartbeat=config.heartbeat,
    )


def _superlink_tls(config: SuperNodeConfig) -> ClientTls | None:
    if config.is_insecure:
        return None
    return load_client_tls(config.root_certificates, now=SystemClock().now())


def _key(config: SuperNodeConfig, state_dir: Path) -> NodeKey:
    if config.private_key is not None:
        return load_node_key(config.private_key)
    return new_node_key() if config.state_dir is None else own_key(state_dir)


def _superexec(
    config: SuperNodeConfig,
    leases: AppLeases,
    clock: Clock,
    server: RpcServer,
    security: AppIoSecurity,
) -> SuperExecKeeper | None:
    if not config.appio.starts_superexec:
        return None

    async def release_its_work(cause: str) -> None:
        await in_thread(leases.revoke_all, f"the SuperExec {cause}")

    argv = superexec_argv(
        client_address(server.address),
        AppKind.CLIENTAPP,
        max_apps=config.max_apps,
        flags=config.executor_flags,
        root_certificates=security.root_certificates,
        secret=security.secret,
    )
    return SuperExecKeeper(argv, clock, on_end=release_its_work)


class _Trust:
    """Whose word a bundle needs to run here."""

    def __init__(self, trusted: TrustedEntities | None) -> None:
        self._trusted = trusted

    def objection(self, fab: Fab) -> str | None:
        """Say why a bundle is not trusted, None when it is."""
        if self._trusted is None:
            return None
        try:
            verify_signature(fab.hash, fab.verifications, self._trusted)
        except UntrustedFabError as error:
            return error.message
        return None


def _read_defaults(content: bytes) -> Config:
    return verify_fab(content).manifest.config


def check(config: SuperNodeConfig) -> None:
    """Read every file the configuration names, and open nothing.

    Raises:
        FlwrError: one is missing, malformed, or does not fit the others.
    """
    _superlink_tls(config)
    if config.private_key is not None:
        load_node_key(config.private_key)
    if config.trusted_entities is not None:
        load_trusted_entities(config.trusted_entities)
    check_appio(config.appio, SystemClock())
