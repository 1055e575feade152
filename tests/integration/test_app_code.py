"""App code that wants what its executor knows: refused by the kernel, and its run completes."""

import shlex
from pathlib import Path
from typing import Final

import pytest

from flwr.shell.landlock import why_unavailable
from tests.compose.apps import PROBE, met_by
from tests.harness.apps import TINY, config, quick
from tests.harness.contained import Confinement
from tests.harness.federation import Federation
from tests.harness.ports import free_address
from tests.harness.program import Program
from tests.harness.toolset import OURS

SECRET: Final = "/mnt/superexec-secret"
# As in a container: a read-only root, the secret's folder mounted, no capabilities.
LIKE_A_CONTAINER: Final = """
set -e
mount --bind {root} {root}
mount --bind {secrets} /mnt
mount -o remount,ro,bind /mnt
mount -o remount,ro,bind /
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
"""


def executor(federation: Federation, kind: str, address: str, *flags: str) -> Program:
    """Start a SuperExec with a read-only root, and the secret's folder at /mnt."""
    script = LIKE_A_CONTAINER.format(
        root=shlex.quote(str(federation.root)),
        secrets=shlex.quote(str(federation.root / "secrets")),
    )
    argv = ["unshare", "--mount", "sh", "-c", script, "confined"]
    argv += [OURS.program("flower-superexec"), "--insecure", "--plugin-type", kind]
    argv += ["--appio-api-address", address, *flags]
    return federation.start_command(kind, argv, federation.environment(OURS, kind))


@pytest.fixture
def secret(federation: Federation) -> Path:
    if why := why_unavailable() or Confinement(federation.root, {}).why_not():
        pytest.skip(why)
    (federation.root / "secrets").mkdir()
    file = federation.root / "secrets" / "superexec-secret"
    file.write_text("0123456789abcdef" * 4)
    return file


def in_process_mode(secret: Path) -> list[str]:
    flags = ["--isolation", "process", "--appio-insecure"]
    return [*flags, "--superexec-auth-secret-file", str(secret)]


def test_app_code_reads_neither_its_executors_secret_nor_any_others_memory(
    federation: Federation, secret: Path
) -> None:
    link = federation.start_superlink(OURS, *in_process_mode(secret))
    clientappio = free_address()
    flags = ("--clientappio-api-address", clientappio, *in_process_mode(secret))
    node = federation.start_node(1, OURS, *flags, of=1)
    executor(
        federation,
        *("serverapp", federation.serverappio, "--superexec-auth-secret-file", SECRET),
    )
    executor(federation, "clientapp", clientappio, "--superexec-auth-secret-file", SECRET)
    federation.await_nodes(1)

    run = federation.submit(PROBE, *config(deed="take", argument=SECRET, nodes=1))

    assert federation.await_end(run)["status"] == "finished:completed", federation.log_of(run)
    met = met_by(federation, run)
    assert sorted(met) == ["0", "server"]
    for who, above in (("0", "template"), ("server", "serverapp_main")):
        assert met[who]["here"] == {SECRET: "Permission denied"}
        others = met[who].keys()
        assert any(f"flwr.runner.{above}" in other for other in others)
        assert len(others) > 2
        had = [(o, what) for o, tried in met[who].items() for what in tried if tried[what] == "had"]
        assert not had
    assert "apps-unconfined" not in "".join(p.output for p in federation.programs)
    assert link.is_alive
    assert node.is_alive


def test_on_an_ordinary_host_the_executor_says_what_apps_can_read(
    federation: Federation, secret: Path
) -> None:
    federation.start_superlink(OURS, *in_process_mode(secret))
    federation.start_node(1, OURS, of=1)
    flags = [
        "--insecure",
        "--plugin-type",
        "serverapp",
        "--superexec-auth-secret-file",
        str(secret),
    ]
    flags += ["--appio-api-address", federation.serverappio]
    launching = federation.start("executor", OURS, "flower-superexec", *flags)
    federation.await_nodes(1)
    run = federation.await_end(federation.submit(TINY, *quick(nodes=1)))
    assert run["status"] == "finished:completed"
    warnings = [line for line in launching.output.splitlines() if "apps-unconfined" in line]
    assert len(warnings) == 1
    assert str(secret) in warnings[0]
    assert "read-only" in warnings[0]
