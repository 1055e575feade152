"""`make doctor` against real mistakes: containers that cannot read their keys, a taken port."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compose.deployment import Deployment
from tests.harness.toolset import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def doctor(deployment: Deployment, *args: str) -> tuple[int, list[dict[str, Any]]]:
    """Run it as an operator would; return its exit code and what it looked at."""
    project = deployment.project
    env = deployment.root / "doctor.env"
    variables = {**project.variables, "COMPOSE_PROFILES": f"nodes-{project.nodes}"}
    env.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    argv = [sys.executable, str(ROOT / "scripts" / "doctor.py"), "--env-file", str(env)]
    done = subprocess.run(
        [*argv, "--format", "json", *args], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return done.returncode, results


def findings(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [result for result in results if result["state"] == "finding"]


def give_away(folder: Path) -> None:
    """Copy as a tool would that knows nothing of containers: everything is one user's alone."""
    for path in (folder, *folder.iterdir()):
        os.chown(path, 1000, 1000)
        path.chmod(0o700 if path.is_dir() else 0o600)


@pytest.mark.row("S52", "S54")
def test_a_secret_folder_of_the_wrong_owner_is_mended_by_the_command_it_names(
    empty: Deployment,
) -> None:
    folder = empty.certs / "superlink"
    give_away(folder)
    empty.project.up("superlink", wait=False)
    empty.project.await_log("superlink", "Permission denied")

    code, results = doctor(empty)

    assert code == 6
    (mount,) = (f for f in findings(results) if f["name"] == "mounts")
    assert mount["remedy"] == (
        f"sudo chown -R 0:10001 {folder} && sudo chmod -R u=rwX,g=rX,o= {folder}"
    )

    subprocess.run(mount["remedy"].replace("sudo ", ""), shell=True, check=True)  # noqa: S602
    empty.up()
    code, results = doctor(empty)
    assert (code, findings(results)) == (0, [])


@pytest.mark.row("S54")
def test_data_that_apps_cannot_read_is_mended_without_changing_its_owner(
    empty: Deployment, tmp_path: Path
) -> None:
    data = tmp_path / "records"
    data.mkdir()
    (data / "patients.csv").write_text("1,2\n")
    give_away(data)
    empty.project.variables["FLWR_NODE_1_DATA"] = str(data)
    empty.up()
    read = "import pathlib; print(pathlib.Path('/mnt/data/patients.csv').read_text())"

    _, results = doctor(empty)

    (finding,) = findings(results)
    assert finding["name"] == "mounts"
    subprocess.run(finding["remedy"].replace("sudo ", ""), shell=True, check=True)  # noqa: S602
    assert empty.project.python("clientapp-1", read).strip() == "1,2"
    assert data.stat().st_uid == 1000
    assert doctor(empty)[0] == 0


@pytest.mark.row("S54")
def test_a_stranger_on_the_port_and_a_mistyped_name_are_named(
    empty: Deployment, deployment: Deployment
) -> None:
    port = deployment.fleet.split(":")[1]
    empty.project.variables |= {"FLWR_FLEET_PORT": port, "FLWR_CONTROL_PROT": "9193"}

    code, results = doctor(empty, "--name", "elsewhere.example")

    assert code == 6
    found = {finding["name"]: finding for finding in findings(results)}
    assert set(found) == {"ports", "settings", "names"}
    assert f"container {deployment.project.container('superlink').name}" in found["ports"]["text"]
    assert "FLWR_CONTROL_PORT" in found["settings"]["remedy"]
    assert "elsewhere.example" in found["names"]["remedy"]


def test_its_own_running_containers_and_ports_are_all_well(deployment: Deployment) -> None:
    code, results = doctor(deployment)

    assert (code, findings(results)) == (0, [])
    assert {r["state"] for r in results} == {"fine"}
