import subprocess
import sys

import pytest

_PROTOBUF = ("google.protobuf.text_format",)  # which comes with its slow implementation
_TOOLS = ("typer", "rich", "pydantic", "pathspec", "pygments", "mako", "tomli_w", *_PROTOBUF)
_STORE = ("numpy", "alembic", "sqlalchemy.dialects.postgresql", "yaml", *_TOOLS)
_EXECUTOR = ("numpy", "sqlalchemy", "cryptography", "yaml", *_TOOLS)
_APP = ("grpc", "asyncio", "ssl", "sqlalchemy", "cryptography", "argparse", "yaml", *_TOOLS)
_TEMPLATE = (*_APP, "concurrent.futures.thread")  # which hooks into each fork and each end
_WORKER = (*_TEMPLATE, "multiprocessing", "subprocess", "zipfile", "tomllib", "tempfile")


@pytest.mark.parametrize(
    ("program", "unneeded"),
    [
        ("flwr.superlink.main, flwr.superlink.daemon", _STORE),
        ("flwr.supernode.main, flwr.supernode.daemon", _STORE),
        ("flwr.superexec.main", _EXECUTOR),
        ("flwr.runner.serverapp_main, flwr.runner.session", _EXECUTOR),
        ("flwr.runner.child, flwr.runner.serverapp_flow, flwr.serverapp", _APP),
        ("flwr.runner.template, flwr.runner.clientapp_flow, flwr.clientapp", _TEMPLATE),
        ("flwr.simulation.worker", _WORKER),
    ],
)
def test_a_program_loads_only_what_it_needs(program: str, unneeded: tuple[str, ...]) -> None:
    """Every site pays for each of them, in memory and at each start."""
    code = f"import sys, {program}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert set(unneeded) & set(done.stdout.split()) == set()
