"""The command ``ray``, as a process that ends with the run that needs it."""

import runpy
import sys

from flwr.shell.death_signal import die_with_parent


def main() -> None:
    """Run the command; its own children end with it, Ray sees to that."""
    die_with_parent()
    sys.argv[0] = "ray"
    runpy.run_module("ray.scripts.scripts", run_name="__main__")


if __name__ == "__main__":
    main()
