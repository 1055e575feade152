"""A SuperLink that simulates: the runs submitted to it are simulations, it has no SuperNode."""

from tests.harness.federation import Federation
from tests.harness.program import Program
from tests.harness.toolset import OURS, Toolset


def start_simulator(federation: Federation, tools: Toolset = OURS, *args: str) -> Program:
    """Start the SuperLink of a release for simulations, and wait until it serves.

    Its programs have a folder for temporary files of their own, so upstream's Ray joins no cluster
    that somebody else runs on this machine, in which it would find no room.
    """
    argv = ["--insecure", "--simulation", "--control-api-address", federation.control]
    argv += ["--serverappio-api-address", federation.serverappio]
    if tools.is_ours:
        argv += ["--state-dir", str(federation.root / "superlink")]
    program = federation.start("superlink", tools, "flower-superlink", *argv, *args)
    program.await_port(federation.control)
    federation.superlink = program
    return program


def virtual(nodes: int, **settings: object) -> tuple[str, str]:
    """Return the option that asks for so many virtual nodes; underscores become dashes."""
    parts = {"num_supernodes": nodes, **settings}
    words = (f"{name.replace('_', '-')}={_literal(value)}" for name, value in parts.items())
    return "--federation-config", " ".join(words)


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
