"""Commands run in this process against a SuperLink in memory, as in tests/unit/cli."""

from tests.unit.cli.conftest import app, control, environment, flwr, pauses

__all__ = ["app", "control", "environment", "flwr", "pauses"]
