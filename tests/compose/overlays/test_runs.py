"""Runs with and without TLS, with apps in containers of their own and beside their daemons."""

from pathlib import Path

import pytest

from tests.compose.deployment import Deployment
from tests.compose.training import assert_undisturbed, submit

DAEMONS = ["superlink", "supernode-1", "supernode-2"]
APPS = ["clientapp-1", "clientapp-2", "serverapp"]


@pytest.mark.long
@pytest.mark.row("S80")
@pytest.mark.parametrize(
    ("tls", "isolation"),
    [(False, "process"), (False, "subprocess"), (True, "subprocess")],
    ids=["insecure-process", "insecure-subprocess", "tls-keys-subprocess"],
)
def test_a_run_completes(tmp_path: Path, tls: bool, isolation: str) -> None:
    """TLS, keys and process isolation together are what every other folder here uses."""
    overlays = ["subprocess.server", "subprocess.site"] if isolation == "subprocess" else []
    with Deployment(tmp_path, tls=tls, overlays=overlays) as federation:
        federation.up()

        assert_undisturbed(federation, submit(federation, num_rounds=1), rounds=1)

        expected = DAEMONS if overlays else sorted([*APPS, *DAEMONS])
        assert federation.project.services() == expected
        assert ("--insecure" in federation.project.container("superlink").args) is not tls
