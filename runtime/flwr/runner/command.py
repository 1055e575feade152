"""The body of both runner commands: settings, the app's process at once, then the session."""

import asyncio
import gc
import logging
import os
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Final

from flwr.core.clock import SystemClock
from flwr.core.lease import AppKind
from flwr.runner.app_process import AppProcess
from flwr.runner.config import (
    NO_INSTALLATION,
    RunnerConfig,
    load_config,
    program_of,
    settings_of,
    superexec_command,
)
from flwr.runner.launch_token import NotLaunchedError, launch_token
from flwr.shell.confinement import forbid_inspection
from flwr.shell.exits import ExitCode, run_program
from flwr.shell.logs import configure
from flwr.shell.process_name import STANDS_BY, name_process
from flwr.shell.settings import show_settings

log = logging.getLogger(__name__)

_STDIN: Final = 0
_NAME: Final = "flwr-runner"


def run_command(kind: AppKind) -> int:
    """Run ``flwr-serverapp`` or ``flwr-clientapp``; return its exit code."""
    return run_program(program_of(kind), lambda: _run(kind))


def _run(kind: AppKind) -> int:
    forbid_inspection()  # of the launch token that we are about to read
    config, values = load_config(kind, sys.argv[1:])
    if values["check_config"]:
        sys.stdout.write(show_settings(settings_of(kind), values) + "\n")
        return ExitCode.DONE
    configure(program=program_of(kind), level=config.log_level)
    if not config.token and not config.awaits_token:
        log.info("No launch token given, serving as a SuperExec", extra={"event": "superexec"})
        command = list(superexec_command(config, values))
        os.execv(command[0], command)  # noqa: S606  # no shell, an argument list of ours
    if config.allow_dependency_installation:
        log.warning(NO_INSTALLATION)
    return asyncio.run(_serve(config))


async def _serve(config: RunnerConfig) -> int:
    app = await AppProcess.start(config.kind, withheld=config.withheld)
    try:
        # Imported while the app's interpreter starts: loading gRPC takes about as long.
        from flwr.runner.session import run_launch  # noqa: PLC0415

        gc.freeze()  # else each full collection looks at all modules again: 13 ms
        if config.awaits_token:
            name_process(STANDS_BY)
            token = await launch_token(app, _STDIN)
            name_process(_NAME)
            app.on_launch()
            config = replace(config, token=token)
        return await run_launch(config, app, SystemClock())
    except NotLaunchedError as none:
        log.info("There is no launch", extra={"event": "not-launched", "cause": str(none)})
        return ExitCode.WRONG_STATE
    finally:
        await app.child.stop(timedelta(0))
