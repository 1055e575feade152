"""What may be set of a program that launches apps, under whichever of its names it was started.

``flower-superexec`` is one, and so is ``flwr-serverapp`` or ``flwr-clientapp`` without a token.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flwr.core.app_choice import read_choice
from flwr.core.limits import DRAIN
from flwr.shell.health_settings import HEALTH_SETTINGS
from flwr.shell.resource_settings import ADMISSION_DIR, APP_NEEDS
from flwr.shell.settings import ConfigError, Setting


def read_seconds(text: str) -> float:
    """Read a duration; a negative one or none at all is an error.

    Raises:
        ConfigError: it is no duration.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ConfigError(f"{text!r} is no number of seconds", hint="use 0 or more")
    return seconds


APP_START: Final = Setting(
    flag="--app-start",
    help="warm: import a ClientApp once and fork it for each message, where that is safe, and "
    "keep an interpreter ready for the next ServerApp; fresh: start one for each (default: warm)",
    choices=("warm", "fresh"),
)

EXECUTOR_SETTINGS: Final = (
    Setting(
        flag="--superexec-auth-secret-file",
        help="file with the secret shared with the daemon; proves that we may start apps",
        metavar="FILE",
    ),
    Setting(
        flag="--max-apps",
        help="app processes alive at one time (default: a ClientApp per CPU, or 4 ServerApps)",
        read=int,
        metavar="N",
    ),
    Setting(
        flag="--only-apps",
        help="launch only these apps, publisher/name joined with commas; default: every app",
        read=read_choice,
        metavar="APPS",
    ),
    Setting(
        flag="--drain",
        help="seconds that live apps get to finish after SIGTERM, before they are stopped "
        f"(default: {DRAIN.total_seconds():g})",
        read=read_seconds,
        metavar="SECONDS",
    ),
    APP_START,
    *APP_NEEDS,
    ADMISSION_DIR,
    *HEALTH_SETTINGS,
)


OF_SERVERAPPS: Final = (APP_START, *APP_NEEDS)
"""What a SuperLink can be told for the executor that it starts."""
OF_CLIENTAPPS: Final = (APP_START, *APP_NEEDS, ADMISSION_DIR)
"""What a SuperNode can be told for the executor that it starts, besides how many apps run."""


def executor_flags(
    values: Mapping[str, Any], settings: Sequence[Setting] = EXECUTOR_SETTINGS
) -> list[str]:
    """Return what is set of these settings as command line flags."""
    argv: list[str] = []
    for setting in settings:
        if values[setting.name] is not None:
            argv += [setting.flag, str(values[setting.name])]
    return argv
