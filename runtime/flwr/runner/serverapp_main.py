"""The command ``flwr-serverapp``: run one ServerApp of a run."""

import sys

from flwr.core.lease import AppKind
from flwr.runner.command import run_command


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(AppKind.SERVERAPP)


if __name__ == "__main__":
    sys.exit(main())
