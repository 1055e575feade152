"""An app in images of its own, with everything an executor can be given."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.sdk import (
    DeploymentNotFoundError,
    Executor,
    Server,
    Site,
    ToolError,
    Volume,
    build_app_images,
    host_address,
    make_server_keys,
)
from tests.compose.project import new_name
from tests.harness.ports import free_port
from tests.harness.toolset import ROOT

GEAR = ROOT / "tests" / "apps" / "gear"
pytestmark = [pytest.mark.long, pytest.mark.timeout(420)]


@pytest.fixture
def names() -> Iterator[tuple[str, str]]:
    hub, clinic = new_name(), new_name()
    yield hub, clinic
    for side, name in ((Site, clinic), (Server, hub)):
        try:
            side.attach(name).down(forget=True, timeout=3)
        except DeploymentNotFoundError:
            continue


@pytest.mark.row("S50", "S51", "S53", "S54", "S59")
def test_an_app_finds_what_its_executors_were_given(folder: Path, names: tuple[str, str]) -> None:
    try:
        images = build_app_images(
            GEAR, requirements=["humanize==4.12.3"], debian_packages=["hello"]
        )
    except ToolError as error:
        if error.kind != "unavailable":
            raise
        pytest.skip(f"packages cannot be fetched here: {error}")
    for place in ("in", "out", "data"):
        (folder / place).mkdir()
        (folder / place).chmod(0o777)
    (folder / "token").write_text("s3cret")
    (hub, clinic), here, fleet = names, host_address(), free_port()
    keys = make_server_keys(folder / "keys", hosts=[here], nodes=1)
    apps = Executor(
        image=images.serverapp,
        environment={"GREETING": "it costs $5"},
        secrets={"token": folder / "token"},
        volumes=[Volume(folder / "in", "/mnt/in"), Volume(folder / "out", "/mnt/out", False)],
    )

    server = Server.deploy(
        hub,
        keys=keys,
        fleet=f"0.0.0.0:{fleet}",
        control=f"127.0.0.1:{free_port()}",
        serverapp=apps,
    )
    Site.deploy(
        clinic,
        superlink=f"{here}:{fleet}",
        keys=keys,
        data=folder / "data",
        config={"ward": "b 2"},
        clientapp=Executor(image=images.clientapp),
    )
    with server.connect() as link:
        wanted = {"packages": "humanize", "command": "hello"}
        log = link.submit(GEAR, run_config=wanted).result(timeout=120).log

    told = re.findall(r"^(serverapp|clientapp): (.*)$", log, re.MULTILINE)
    found = {side: json.loads(text) for side, text in told}
    packages = {"humanize": "4.12.3", "hello": "Hello, world!"}
    refused = "Read-only file system"
    assert found["serverapp"] == {
        **packages,
        "GREETING": "it costs $5",
        "token": "s3cret",
        "/mnt/in": refused,
        "/mnt/out": "written",
        "/mnt/data": "missing",
    }
    assert found["clientapp"] == {
        **packages,
        "GREETING": "missing",
        "token": "missing",
        "/mnt/in": "missing",
        "/mnt/out": "missing",
        "/mnt/data": refused,
        "ward": "b 2",
    }
    assert (folder / "out" / "model.txt").read_text() == "weights"
