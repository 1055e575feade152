"""The command ``flower-superlink``."""

import sys
from typing import Final

from flwr.shell.startup import Daemon, Work, main_of
from flwr.superlink.config import PROGRAM, SETTINGS, SuperLinkConfig, load_config


def _load_work() -> Work[SuperLinkConfig]:
    from flwr.superlink import daemon  # noqa: PLC0415 - after the environment of gRPC is set

    return Work(daemon.check, daemon.serve)


SUPERLINK: Final = Daemon(
    program=PROGRAM,
    settings=SETTINGS,
    load_config=load_config,
    load_work=_load_work,
    grpc_verbosity="ERROR",
)


def main() -> int:
    """Run the program; the result is its exit status."""
    return main_of(SUPERLINK)


if __name__ == "__main__":
    sys.exit(main())
