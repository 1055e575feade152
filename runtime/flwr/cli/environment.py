"""What a command finds around itself: home, clock, and the way to a SuperLink.

Built once in ``main`` and handed to every command, so that tests hand in another.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import typer

from flwr.control.api import CREDENTIALS, FederationControl, open_control
from flwr.control.connection import CONFIG_FILE, Connection
from flwr.core.clock import Clock, SystemClock
from flwr.core.home import flwr_home
from flwr.core.limits import LOCAL_CONTROL_PORT

_PORT_VARIABLE: Final = "FLWR_LOCAL_CONTROL_API_PORT"


def installed_program(name: str) -> str:
    """Return the program installed beside this interpreter, or found on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name) or name


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Everything of the outside world that commands use."""

    home: Path
    local_control_port: int = LOCAL_CONTROL_PORT
    clock: Clock
    pause: Callable[[float], None] = time.sleep  # seconds
    connect: Callable[[Connection], AbstractContextManager[FederationControl]] = open_control
    program: Callable[[str], str] = installed_program  # path of a daemon by its name

    @property
    def config_file(self) -> Path:
        """The user's list of connections."""
        return self.home / CONFIG_FILE

    @property
    def credentials_file(self) -> Path:
        """The user's logins."""
        return self.home / CREDENTIALS

    @property
    def apps_dir(self) -> Path:
        """Where bundles are installed."""
        return self.home / "apps"

    @property
    def local_dir(self) -> Path:
        """State of the SuperLink that the CLI starts itself."""
        return self.home / "local-superlink"


def system_environment() -> Environment:
    """Return the real surroundings."""
    port = os.environ.get(_PORT_VARIABLE, "")
    home = flwr_home()
    return Environment(
        home=home,
        local_control_port=int(port) if port.isdecimal() else LOCAL_CONTROL_PORT,
        clock=SystemClock(),
        connect=partial(open_control, credentials=home / CREDENTIALS),
    )


def environment_of(ctx: typer.Context) -> Environment:
    """Return the surroundings the program was started with."""
    found = ctx.find_object(Environment)
    return found if found is not None else system_environment()
