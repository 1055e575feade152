"""The command ``flower-supernode``: read the configuration, then work."""

import asyncio
import os
import sys
from collections.abc import Sequence

from flwr.shell import logs
from flwr.shell.exits import ExitCode, run_program
from flwr.shell.settings import show_settings
from flwr.supernode.config import PROGRAM, SETTINGS, load_config


def main() -> int:
    """Run the program; the result is its exit status."""
    return run_program(PROGRAM, lambda: run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Work, or only check the configuration, as ``argv`` says."""
    config, values = load_config(argv)
    say = config.reporting
    logs.configure(program=PROGRAM, as_json=say.log_as_json, level=say.log_level)
    # Read by gRPC when it is imported: quiet (we tell its failures in our own words), and no hooks
    # around the start of the SuperExec.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from flwr.supernode import daemon  # noqa: PLC0415 - after the environment of gRPC is set

    if values["check_config"]:
        daemon.check(config)
        sys.stdout.write(show_settings(SETTINGS, values) + "\n")
        return ExitCode.DONE
    asyncio.run(daemon.work(config))
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
