"""The command ``flower-supernode``."""

import sys
from typing import Final

from flwr.shell.startup import Daemon, Work, main_of
from flwr.supernode.config import PROGRAM, SETTINGS, SuperNodeConfig, load_config


def _load_work() -> Work[SuperNodeConfig]:
    from flwr.supernode import daemon  # noqa: PLC0415 - after the environment of gRPC is set

    return Work(daemon.check, daemon.work)


SUPERNODE: Final = Daemon(
    program=PROGRAM,
    settings=SETTINGS,
    load_config=load_config,
    load_work=_load_work,
    grpc_verbosity="NONE",  # we tell its failures in our own words
)


def main() -> int:
    """Run the program; the result is its exit status."""
    return main_of(SUPERNODE)


if __name__ == "__main__":
    sys.exit(main())
