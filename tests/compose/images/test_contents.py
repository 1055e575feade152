"""What is in the images, and what must not be."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from images import inputs, wheelhouse

from tests.compose.images.conftest import Images
from tests.harness.toolset import ROOT

DAEMONS: Final = ("superlink", "supernode")
SHELL_LESS: Final = (*DAEMONS, "cli", "certs")
# Megabytes. The first two are promised; the others keep growth from going unnoticed.
BUDGET: Final = {
    "superlink": 110,
    "supernode": 110,
    "serverapp": 275,
    "clientapp": 275,
    "cli": 105,
    "certs": 55,
    "postgres": 125,
}
COMMANDS: Final = {
    "superlink": "flower-superlink",
    "supernode": "flower-supernode",
    "serverapp": "flwr-serverapp",
    "clientapp": "flwr-clientapp",
    "cli": "flwr",
    "certs": "pki.py",
    "postgres": "entrypoint.py",
}
LIST_PROGRAMS: Final = """
import os
places = (*os.environ["PATH"].split(":"), "/bin", "/sbin", "/usr/sbin")
folders = {os.path.realpath(f) for f in places}
print(*sorted({n for f in folders if os.path.isdir(f) for n in os.listdir(f)}))
"""
pytestmark = pytest.mark.timeout(600)  # the first test may have to build

SHELLS: Final = {"sh", "bash", "dash", "busybox", "ash", "zsh"}


@pytest.mark.parametrize("role", inputs.ROLES)
def test_the_program_starts_as_nobody_on_a_read_only_root(images: Images, role: str) -> None:
    shown = images.run(role, "--help")

    assert shown.returncode == 0, shown.stderr
    assert COMMANDS[role] in shown.stdout


@pytest.mark.parametrize("role", inputs.ROLES)
def test_only_the_pki_tool_begins_as_root(images: Images, role: str) -> None:
    config = images.inspect(role)["Config"]

    assert config["User"] == ("0:0" if role == "certs" else "10001:10001")
    assert isinstance(config["Entrypoint"], list)  # the exec form: signals reach the program


@pytest.mark.parametrize("role", ["superlink", "supernode", "serverapp", "clientapp", "cli"])
def test_the_labels_tell_the_release_that_is_inside(images: Images, role: str) -> None:
    labels = images.inspect(role)["Config"]["Labels"]
    said = images.run(role, "--version").stdout.split()

    assert labels["org.opencontainers.image.title"] == role
    assert labels["org.opencontainers.image.version"] == inputs.version(ROOT)
    assert labels["flwr-compose.contract"] == said[-1]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["flwr-compose.base.manifest"].startswith("sha256:")


@pytest.mark.parametrize("role", ["superlink", "supernode", "serverapp", "clientapp", "postgres"])
def test_services_say_how_they_are(images: Images, role: str) -> None:
    health = images.inspect(role)["Config"]["Healthcheck"]

    assert health["StartInterval"] == 250_000_000  # ns
    assert health["Test"][0] == "CMD"
    absent = images.run(role, *health["Test"][2:], entrypoint=health["Test"][1])
    assert absent.returncode != 0  # nothing serves in this container


@pytest.mark.parametrize("role", BUDGET)
def test_an_image_stays_within_its_size(images: Images, role: str) -> None:
    assert images.inspect(role)["Size"] / 1e6 <= BUDGET[role]


@pytest.mark.parametrize("role", SHELL_LESS)
def test_there_is_nothing_to_type_commands_into(images: Images, role: str) -> None:
    programs = set(images.python(role, LIST_PROGRAMS).split())

    assert not programs & (SHELLS | {"pip", "pip3", "apt", "apt-get", "dpkg", "perl", "env"})
    assert images.run(role, entrypoint="sh").returncode == 127


def test_postgres_has_the_one_shell_that_initdb_needs(images: Images) -> None:
    programs = set(images.python("postgres", LIST_PROGRAMS).split())

    assert programs & SHELLS == {"sh", "dash"}
    assert not programs & {"apt", "dpkg", "perl", "env", "cat"}


@pytest.mark.parametrize("role", DAEMONS)
@pytest.mark.parametrize("package", ["numpy", "pip", "torch", "typer", "setuptools"])
def test_a_daemon_cannot_load_what_apps_load(images: Images, role: str, package: str) -> None:
    tried = images.run(role, "-c", f"import {package}", entrypoint="python3")

    assert f"No module named '{package}'" in tried.stderr


@pytest.mark.parametrize("role", ["superlink", "supernode", "serverapp", "clientapp"])
def test_every_module_comes_with_byte_code(images: Images, role: str) -> None:
    missing = images.python(
        role,
        """
import glob, importlib.util, os
for folder in ("/opt/flwr/lib/python3.13/site-packages", "/usr/lib/python3.13"):
    for file in glob.glob(folder + "/**/*.py", recursive=True):
        if "site-packages/pip" not in file and not os.path.exists(
            importlib.util.cache_from_source(file)
        ):
            print(file)
""",
    )

    assert missing.split()[:5] == []


@pytest.mark.parametrize("role", ["superlink", "serverapp"])
def test_the_runtime_belongs_to_root(images: Images, role: str) -> None:
    writable = images.python(
        role,
        """
import os
for folder, folders, files in os.walk("/opt/flwr"):
    for path in (folder, *(os.path.join(folder, f) for f in files)):
        status = os.lstat(path)
        if status.st_uid or (status.st_mode & 0o022 and not os.path.islink(path)):
            print(path)
""",
    )

    assert writable == ""


@pytest.mark.parametrize("role", inputs.ROLES)
def test_nothing_of_this_machine_is_in_layers_or_history(
    images: Images, role: str, tmp_path: Path
) -> None:
    """No pip configuration, index, certificate authority or key of whoever built it."""
    command = ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", images.name(role)]
    history = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    settings = json.dumps(images.inspect(role)["Config"])
    pip = [*wheelhouse.find_pip(), "config", "list"]
    configured = subprocess.run(pip, check=True, capture_output=True, text=True).stdout
    private = {word for word in re.findall(r"'([^']{6,})'", configured) if "/" in word}
    # where the image's own certificate bundle lies, too
    private -= {"/etc/ssl/certs/ca-certificates.crt"}

    for text in (history, settings):
        assert not [word for word in private if word in text]
        assert not re.search(r"BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)|index-url|PIP_INDEX", text)

    names = files_of(images.name(role), tmp_path)
    assert not [n for n in names if n.endswith(("pip.conf", ".netrc", ".key", ".pypirc", ".env"))]
    assert not [
        n for n in names if n.startswith(("wheels/", "debs/", "tmp/", "root/.cache", "run/"))
    ]


def files_of(image: str, folder: Path) -> list[str]:
    """Return the path of every file in every layer, also of those that a later one hides."""
    archive = folder / "image.tar"
    subprocess.run(["docker", "save", f"--output={archive}", image], check=True)
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    layers = json.loads((folder / "manifest.json").read_text())[0]["Layers"]
    names = []
    for layer in layers:
        listed = subprocess.run(
            ["tar", "-tf", str(folder / layer)], check=True, capture_output=True, text=True
        )
        names += [name.removeprefix("./") for name in listed.stdout.splitlines()]
    return [name for name in names if not name.endswith("/")]


def test_the_packages_inside_can_be_listed(images: Images) -> None:
    build = [sys.executable, str(ROOT / "images" / "build.py"), "superlink", "--sbom"]
    subprocess.run(build, check=True, capture_output=True)
    file = ROOT / ".state" / "images" / "sbom" / "superlink.cdx.json"

    listed = {c["name"] for c in json.loads(file.read_text())["components"] if "purl" in c}

    assert {"libc6", "libssl3t64", "python3.13-minimal"} <= listed
    assert {"grpcio", "cryptography", "flwr-compose"} <= listed
    assert "numpy" not in listed


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_builds_without_a_cache_give_the_same_ids(images: Images, tmp_path: Path) -> None:
    """Of a copy of the sources: whoever edits them meanwhile, or uses the images, is not in it."""
    names = {name for sources in inputs.SOURCES.values() for name in sources}
    for name in {name.split("/")[0] for name in names} | {"scripts", "README.md"}:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / ".state").mkdir()
    (tmp_path / ".state" / "images").symlink_to(ROOT / ".state" / "images")
    registry = f"flwr-test-{os.getpid()}"
    try:
        first, second = build_anew(tmp_path, registry), build_anew(tmp_path, registry)
    finally:
        made = [f"{registry}/{role}:{inputs.version(ROOT)}" for role in inputs.ROLES]
        subprocess.run(["docker", "image", "rm", *made], check=False, capture_output=True)

    assert first == second


def build_anew(root: Path, registry: str) -> dict[str, str]:
    """Build every image without a cache; return their ids."""
    command = [sys.executable, str(root / "images" / "build.py"), "--force", "--format=json"]
    own = {f"{name}_BASE": f"flwr-compose/base-{name.lower()}:trixie" for name in ("RUN", "BUILD")}
    built = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **own, "REGISTRY": registry},
    )
    return {image["role"]: image["id"] for image in json.loads(built.stdout)}
