"""What may be set about telling health; the same rows for every long-running program."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.shell.addresses import read_address
from flwr.shell.settings import Setting

HEALTH_SETTINGS: Final = (
    Setting(
        flag="--health-server-address",
        help="serve gRPC health checks here, in clear text",
        metavar="HOST:PORT",
    ),
    Setting(
        flag="--health-file",
        help="touch this file every 2 s while this program serves; it is absent otherwise",
        read=Path,
        metavar="PATH",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """Where a program tells its health; None: not there."""

    address: str | None = None
    file: Path | None = None


def read_health(values: Mapping[str, Any]) -> HealthConfig:
    """Return what ``values`` say of health.

    Raises:
        ConfigError: the address of the health server is none.
    """
    has_server = bool(values["health_server_address"])
    return HealthConfig(
        address=read_address(values, "health_server_address") if has_server else None,
        file=values["health_file"],
    )
