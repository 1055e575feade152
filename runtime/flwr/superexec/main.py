"""The command ``flower-superexec``: start app processes for one daemon, and watch over them."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

from flwr.auth.superexec_auth import load_secret
from flwr.auth.tls import ClientTls
from flwr.core.allocator import share_arenas
from flwr.core.clock import Clock, SystemClock
from flwr.core.lease import AppKind
from flwr.core.limits import STOP_GRACE
from flwr.runner.config import NO_INSTALLATION, RunnerConfig
from flwr.runner.in_executor import InExecutorRunners, Permits
from flwr.runner.relay import retry_policy
from flwr.runner.templates import Templates, are_possible
from flwr.shell.confinement import forbid_inspection, plan
from flwr.shell.exits import ExitCode, run_program
from flwr.shell.health import take_away, told
from flwr.shell.logs import configure
from flwr.shell.orphans import orphans_reaped
from flwr.shell.parent import until_parent_exits
from flwr.shell.resource_settings import Room
from flwr.shell.settings import show_settings
from flwr.shell.signals import repeated_stop_requests
from flwr.superexec.admission import Admission, OwnAdmission
from flwr.superexec.config import PROGRAM, SETTINGS, SuperExecConfig, load_config
from flwr.superexec.launcher import InExecutorLauncher, Launcher, ProcessLauncher
from flwr.superexec.loop import LaunchLoop
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients.launches import LaunchesClient
from flwr.wire.clients.tube import Tubes
from flwr.wire.diagnose import explain
from flwr.wire.health import Health
from flwr.wire.retry import Retry

log = logging.getLogger(__name__)

_CLOCK: Final = SystemClock()


def main() -> int:
    """Run the command and return its exit code."""
    return run_program(PROGRAM, _run)


def _run() -> int:
    forbid_inspection()  # of the secret that we are about to read
    config, values = load_config(sys.argv[1:])
    if values["check_config"]:
        sys.stdout.write(show_settings(SETTINGS, values) + "\n")
        return ExitCode.DONE
    configure(program=PROGRAM, level=config.log_level)
    return asyncio.run(serve(config, _CLOCK))


async def serve(config: SuperExecConfig, clock: Clock) -> int:
    """Launch apps until told to stop, or until the daemon we belong to has ended.

    Raises:
        FlwrError: the daemon refuses this SuperExec, or the two disagree about TLS.
    """
    share_arenas()
    tls = None
    if config.root_certificates is not None:
        # 6 MB of cryptography, which an executor without TLS does without.
        from flwr.auth.certificates import load_client_tls  # noqa: PLC0415

        tls = load_client_tls(config.root_certificates, now=clock.now())
    health = Health()
    async with (
        told(health, config.health),
        open_aio_channel(config.address, tls) as channel,
        _admission(config.room, clock) as admission,
        _tube(config.kind) as tubes,
        _launcher(config, channel, tls, clock, admission.admitted, tubes) as launcher,
    ):
        secret = load_secret(config.secret_file) if config.secret_file is not None else None
        loop = LaunchLoop(
            LaunchesClient(
                channel,
                config.kind,
                clock=clock,
                secret=secret,
                only_apps=config.only_apps,
                tubes=tubes,
            ),
            launcher,
            kind=config.kind,
            max_apps=config.room.apps,
            clock=clock,
            retry=_patient(config.address, tls, clock),
            tell=health.tell,
            only_apps=config.only_apps,
            shortage=lambda: admission.shortage,
        )
        log.info("SuperExec serves", extra={"event": "started", "address": config.address})
        await _launch_until_done(loop, config)
    log.info("SuperExec stopped", extra={"event": "stopped"})
    return ExitCode.DONE


@asynccontextmanager
async def _admission(room: Room, clock: Clock) -> AsyncIterator[Admission]:
    if room.shared_by is None:
        yield OwnAdmission(room, clock)
        return
    from flwr.superexec.shared_queue import SharedAdmission  # noqa: PLC0415  # few need it

    async with SharedAdmission(room.shared_by, room, clock) as admission:
        yield admission


@asynccontextmanager
async def _tube(kind: AppKind) -> AsyncIterator[Tubes | None]:
    """Yield what launches come by besides gRPC; None where there is nothing else."""
    if kind is not AppKind.CLIENTAPP or sys.platform != "linux":
        yield None
        return
    tubes = Tubes()
    try:
        yield tubes
    finally:
        tubes.close()


@asynccontextmanager
async def _launcher(
    config: SuperExecConfig,
    channel: grpc.aio.Channel,
    tls: ClientTls | None,
    clock: Clock,
    permits: Permits,
    tubes: Tubes | None,
) -> AsyncIterator[Launcher]:
    """Yield what starts the apps of our kind; templates end with the block."""
    runner = RunnerConfig(
        kind=config.kind,
        address=config.address,
        root_certificates=config.root_certificates,
        allow_dependency_installation=config.allow_dependency_installation,
        withheld=_withheld(config),
    )
    if config.kind is AppKind.SERVERAPP:
        stands_by = config.starts_warm and not config.room.assigns_gpus
        async with ProcessLauncher(runner, permits, keeps_stand_by=stands_by) as launcher:
            yield launcher
        return
    if config.allow_dependency_installation:
        log.warning(NO_INSTALLATION)
    templates = Templates(runner.withheld) if _uses_templates(config) else None
    retry = retry_policy(config.address, tls, clock)
    try:
        yield InExecutorLauncher(
            InExecutorRunners(
                runner,
                channel,
                retry=retry,
                clock=clock,
                templates=templates,
                permits=permits,
                tubes=tubes,
            )
        )
    finally:
        if templates is not None:
            await templates.close()


def _uses_templates(config: SuperExecConfig) -> bool:
    if not config.starts_warm:
        return False
    if not are_possible():
        log.warning(
            "Each message gets a fresh interpreter",
            extra={"event": "fresh-start", "cause": "only Linux 5.3 or newer forks templates"},
        )
        return False
    return True


async def _launch_until_done(loop: LaunchLoop, config: SuperExecConfig) -> None:
    """Launch until told to stop or until the parent has ended; no runner is left of ClientApps."""
    launching = asyncio.create_task(loop.run(), name="launching")
    with orphans_reaped(), repeated_stop_requests() as (stop, again):
        told, told_again = asyncio.create_task(stop.wait()), asyncio.create_task(again.wait())
        gone = asyncio.create_task(_until_parent_ends(config.parent_pid))
        try:
            await _first_of(launching, told, gone)
            if told.done():
                await _wind_down(loop, config, launching, told_again, gone)
            if gone.done() and config.kind is AppKind.SERVERAPP:
                take_away(config.health.file)
                _leave_runners_alone()
        finally:
            tasks = (launching, told, told_again, gone)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if not launching.cancelled():
        launching.result()


async def _wind_down(
    loop: LaunchLoop,
    config: SuperExecConfig,
    launching: "asyncio.Task[None]",
    told_again: "asyncio.Task[bool]",
    gone: "asyncio.Task[None]",
) -> None:
    """Let live apps finish, stop those that take too long, and give back what they had to do."""
    facts = {"event": "draining", "apps": loop.alive, "seconds": config.drain.total_seconds()}
    log.info("SuperExec drains", extra=facts)
    loop.drain()
    await _first_of(launching, told_again, gone, patience=config.drain)
    if launching.done() or gone.done():
        return
    if not told_again.done():
        stopping = asyncio.create_task(loop.stop_runners(STOP_GRACE))
        await _first_of(launching, told_again, gone)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    if not (launching.done() or gone.done()):
        await loop.stop_runners(timedelta(0))
        await _first_of(launching, gone)


async def _first_of(*tasks: "asyncio.Task[Any]", patience: timedelta | None = None) -> None:
    seconds = None if patience is None else patience.total_seconds()
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


async def _until_parent_ends(pid: int | None) -> None:
    if pid is None:
        await asyncio.Event().wait()
    else:
        await until_parent_exits(pid)


def _leave_runners_alone() -> None:
    """End at once: ServerApps outlive their SuperLink, and find it again when it is back.

    A normal end of the event loop would kill the processes it has started.
    """
    log.info("Daemon has ended, its ServerApps go on", extra={"event": "left"})
    logging.shutdown()
    os._exit(ExitCode.DONE)


def _withheld(config: SuperExecConfig) -> Path | None:
    """Return the directory that apps may not read; say once what they can read."""
    planned = plan(config.secret_file)
    if planned.warning is not None:
        log.warning(planned.warning, extra={"event": "apps-unconfined"})
    return planned.withheld


def _patient(address: str, tls: ClientTls | None, clock: Clock) -> Retry:
    return Retry(explain=partial(explain, address, tls), clock=clock)


if __name__ == "__main__":
    sys.exit(main())
