"""How a daemon starts: configuration, logs, then everything that is slow to load, then its work."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from flwr.core.allocator import share_arenas
from flwr.shell import logs
from flwr.shell.daemon_settings import ReportingConfig
from flwr.shell.exits import ExitCode, run_program
from flwr.shell.settings import Setting, show_settings

_COLLECT_AFTER: Final = 10_000  # new containers; what a call makes is gone before that, uncollected


class _Configured(Protocol):
    @property
    def reporting(self) -> ReportingConfig: ...


Config = TypeVar("Config", bound=_Configured)


@dataclass(frozen=True, slots=True)
class Work(Generic[Config]):
    """What a daemon does with its configuration."""

    check: Callable[[Config], None]
    """Reads every file that is named, and opens nothing."""
    serve: Callable[[Config], Coroutine[Any, Any, None]]
    """Works until it is asked to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon(Generic[Config]):
    """One daemon, before anything of it is loaded but its settings."""

    program: str
    settings: Sequence[Setting]
    load_config: Callable[[Sequence[str]], tuple[Config, Mapping[str, Any]]]
    load_work: Callable[[], Work[Config]]
    """Imports the rest; called when the environment of gRPC is set."""
    grpc_verbosity: str


def main_of(daemon: Daemon[Config]) -> int:
    """Run the program on its command line; the result is its exit status."""
    return run_program(daemon.program, lambda: run_daemon(daemon, sys.argv[1:]))


def run_daemon(daemon: Daemon[Config], argv: Sequence[str]) -> int:
    """Serve, or only check the configuration, as ``argv`` says.

    Raises:
        FlwrError: the configuration is wrong, or something the daemon needs is not to be had.
    """
    config, values = daemon.load_config(argv)
    say = config.reporting
    logs.configure(program=daemon.program, as_json=say.log_as_json, level=say.log_level)
    # Read by gRPC when it is imported; no hooks around the start of the SuperExec.
    os.environ.setdefault("GRPC_VERBOSITY", daemon.grpc_verbosity)
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    work = daemon.load_work()
    if values["check_config"]:
        work.check(config)
        sys.stdout.write(show_settings(daemon.settings, values) + "\n")
        return ExitCode.DONE
    _spare_collections()
    share_arenas()
    asyncio.run(work.serve(config))
    return ExitCode.DONE


def _spare_collections() -> None:
    """Let the garbage collector leave alone what lives as long as the process: all modules."""
    gc.freeze()
    _, *older = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *older)
