"""server.yaml and site.yaml as three projects, the sites dialling the published port."""

import pytest
from python_on_whales import DockerException

from tests.compose.apps import PROBE, met_by
from tests.compose.conftest import PACKAGE
from tests.compose.deployment import Deployment
from tests.compose.project import Project
from tests.harness.apps import TINY, config


@pytest.mark.row("S43", "S53")
def test_sites_that_share_no_network_train_together(
    server: Deployment, sites: dict[int, Project]
) -> None:
    projects = [server.project, *sites.values()]
    networks = [
        {n for name in p.services() for n in p.inspect(name)["NetworkSettings"]["Networks"]}
        for p in projects
    ]
    assert sum(map(len, networks)) == len(set.union(*networks))

    run = server.await_end(server.submit(TINY, *config(num_rounds=1, evaluate=False)))

    assert run["status"] == "finished:completed"
    assert "partitions: [0, 1]" in server.log_of(run["run-id"])
    for number, site in sites.items():
        assert run["run-id"] in site.logs("supernode-1"), f"site {number} took part"


@pytest.mark.row("S9")
def test_apps_import_what_superlink_and_supernodes_do_not_have(
    server: Deployment, sites: dict[int, Project]
) -> None:
    modules = f"numpy {PACKAGE} probe.deeds"
    run = server.submit(PROBE, *config(deed="import", argument=modules, nodes=2))
    assert server.await_end(run)["status"] == "finished:completed"

    met = met_by(server, run)
    assert sorted(met) == ["0", "1", "server"]
    for came_from in met.values():
        assert came_from[PACKAGE].startswith("/opt/venv/")
        assert came_from["probe.deeds"].startswith("/tmp/")  # noqa: S108  of the container
    daemons = [(server.project, "superlink"), *((s, "supernode-1") for s in sites.values())]
    for project, name in daemons:
        assert project.python(name, "import flwr; print(flwr.__name__)") == "flwr"
        for module in modules.split():
            with pytest.raises(DockerException, match="ModuleNotFoundError"):
                project.python(name, f"import {module}")


@pytest.mark.row("S53")
def test_a_site_needs_an_endpoint_a_certificate_and_its_key(sites: dict[int, Project]) -> None:
    needed = {"ca.crt", "node.key", "node.pub", "appio.crt", "appio.key", "superexec-secret"}
    for site in sites.values():
        listed = site.python("supernode-1", "import os; print(*os.listdir('/run/secrets'))")
        assert set(listed.split()) == needed
