"""What one app needs, as an operator says it, and how many of them run here at one time.

A need is the operator's word: nothing holds an app to it but the limits of its container.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.core.capacity import AppNeeds, Machine
from flwr.core.lease import AppKind
from flwr.shell.cpus import available_cpus
from flwr.shell.gpus import available_gpus
from flwr.shell.memory import available_memory
from flwr.shell.settings import ConfigError, Setting

_UNITS: Final[Mapping[str, int]] = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_LONGEST_PATH: Final = 90  # a socket's name may have 107 bytes


def read_amount(text: str) -> float | None:
    """Read a number of CPUs or GPUs, which need not be whole; None: nothing is said.

    Raises:
        ConfigError: it is no such number.
    """
    if not text:
        return None
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise ConfigError(f"{text!r} is no amount", hint="use 1, 2, or 0.5 for half of one")
    return amount


def read_bytes(text: str) -> int | None:
    """Read a size in bytes, or with one of the letters of containers' limits; None: it is empty.

    Raises:
        ConfigError: it is no size.
    """
    if not text:
        return None
    word = text.strip().lower().removesuffix("b")
    unit = _UNITS.get(word[-1:], 1)
    number = word[:-1] if unit > 1 else word
    if not number.isascii() or not number.isdigit():
        raise ConfigError(f"{text!r} is no size", hint="use bytes, or such as 500m or 2g")
    return int(number) * unit


def _read_directory(text: str) -> Path:
    path = Path(text).absolute()
    if len(str(path).encode()) > _LONGEST_PATH:
        raise ConfigError(
            f"{path} is too long for the socket in it", hint=f"use at most {_LONGEST_PATH} bytes"
        )
    return path


APP_NEEDS: Final = (
    Setting(
        flag="--cpus-per-app",
        help="CPUs that one app needs, 0.5 for half of one; no more apps run at one time than "
        "there are CPUs for (default: 1 for a ClientApp, unless --max-apps says how many run)",
        read=read_amount,
        metavar="N",
    ),
    Setting(
        flag="--memory-per-app",
        help="memory that one app needs, in bytes or such as 500m or 2g; no more apps run at one "
        "time than there is memory for",
        read=read_bytes,
        metavar="SIZE",
    ),
    Setting(
        flag="--gpus-per-app",
        help="GPUs of one app, 0.5 for half of one: it sees no others (CUDA_VISIBLE_DEVICES), and "
        "no more apps run at one time than there are GPUs for; default: all apps see all GPUs",
        read=read_amount,
        metavar="N",
    ),
)

ADMISSION_DIR: Final = Setting(
    flag="--admission-dir",
    help="directory that executors on one machine name to count together: a ClientApp of one "
    "waits for those of the others; default: each counts for itself",
    read=_read_directory,
    metavar="DIR",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many apps run at one time, what each of them gets, and what of."""

    apps: int
    needs: AppNeeds
    machine: Machine
    gpus: tuple[str, ...]
    assigns_gpus: bool  # False: every app sees what its executor sees
    shared_by: Path | None  # a directory: with executors that name it too


def read_room(values: Mapping[str, Any], kind: AppKind) -> Room:
    """Return how many apps run on this machine, and what each of them gets.

    Args:
        values: of ``APP_NEEDS``; of ``ADMISSION_DIR`` and ``max_apps`` where a program has them.
        kind: of the apps: those of a site compute; those of a server mostly wait, and must not
            keep others waiting.

    Raises:
        ConfigError: not even one app would fit; with the numbers.
    """
    most, cpus, gpus = values.get("max_apps"), available_cpus(), available_gpus()
    if most is not None and most < 1:
        raise ConfigError(f"--max-apps is {most}", hint="use 1 or more")
    computes = kind is AppKind.CLIENTAPP
    shared_by = values.get("admission_dir") if computes else None
    by_default = 1.0 if computes and (most is None or shared_by is not None) else 0.0
    said = values["cpus_per_app"]
    needs = AppNeeds(
        cpus=by_default if said is None else said,
        gpus=values["gpus_per_app"] or 0.0,
        memory=values["memory_per_app"] or 0,
    )
    machine = Machine(cpus=cpus, gpus=len(gpus), memory=available_memory())
    fitting = _count_fitting(needs, machine)
    if most is None:
        most = sys.maxsize if computes and fitting < sys.maxsize else max(8, 4 * cpus)
    return Room(
        apps=min(most, fitting),
        needs=needs,
        machine=machine,
        gpus=gpus,
        assigns_gpus=values["gpus_per_app"] is not None,
        shared_by=shared_by,
    )


def _count_fitting(needs: AppNeeds, machine: Machine) -> int:
    fitting = machine.room_for(needs)
    if fitting < 1:
        raise ConfigError(
            f"one app needs {needs}, here are {machine}",
            hint="lower --cpus-per-app, --memory-per-app or --gpus-per-app, or run this where "
            "there is more",
        )
    return fitting
