"""Full paths of the AppIo methods: the same names on both services."""

from collections.abc import Mapping
from typing import Final

from flwr.core.lease import AppKind

SERVERAPPIO: Final = "/flwr.proto.ServerAppIo/"
CLIENTAPPIO: Final = "/flwr.proto.ClientAppIo/"
APP_LOGS: Final = "/flwr.compose.v1.AppLogs/"
LAUNCHES: Final = "/flwr.compose.v1.Launches/"
WHOLE_LAUNCHES: Final = "/flwr.compose.v1.WholeLaunches/"
APP_BULK: Final = "/flwr.compose.v1.AppBulk/"

PULL_PIECES: Final = f"{APP_BULK}Pull"
PUSH_PIECES: Final = f"{APP_BULK}Push"
OPEN_HATCH: Final = f"{APP_BULK}OpenHatch"
PUSH_APP_LOGS: Final = f"{APP_LOGS}PushAppLogs"
REPORT_EXIT: Final = f"{LAUNCHES}ReportExit"
TAKE_LAUNCH: Final = f"{WHOLE_LAUNCHES}Take"
OPEN_TUBE: Final = f"{WHOLE_LAUNCHES}OpenTube"
HEARTBEAT: Final = f"{CLIENTAPPIO}SendAppHeartbeat"
FINISH_LAUNCH: Final = f"{WHOLE_LAUNCHES}Finish"

_SERVICES: Final[Mapping[AppKind, str]] = {
    AppKind.SERVERAPP: SERVERAPPIO,
    AppKind.CLIENTAPP: CLIENTAPPIO,
}


def method_of(kind: AppKind, name: str) -> str:
    """Return the full path of an AppIo method."""
    return f"{_SERVICES[kind]}{name}"
