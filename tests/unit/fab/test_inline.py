from pathlib import Path

import pytest

from flwr.fab.build import build_fab
from flwr.fab.inline import InlineApp, read_inline_app
from flwr.fab.inline_source import InlineAppError
from flwr.fab.manifest import AppManifest
from flwr.fab.opened import opened_inline

SERVER = "from flwr.serverapp import ServerApp\napp = ServerApp()\nrounds = 3\n"
CLIENT = "from flwr.clientapp import ClientApp\n\napp = ClientApp()\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "client.py").write_text(CLIENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(server: str = "server.py:app", client: str = "client.py:app", **said: object) -> InlineApp:
    return read_inline_app(server, client, **said)  # type: ignore[arg-type]


def built(app: InlineApp) -> tuple[AppManifest, tuple[str, ...], str]:
    with opened_inline(app) as folder:
        fab = build_fab(folder)
    assert not folder.exists()
    return fab.manifest, fab.listing.kept, fab.fab_hash


@pytest.mark.row("S46")
@pytest.mark.usefixtures("files")
def test_two_files_become_a_project() -> None:
    manifest, kept, _ = built(read(config={"lr": 0.1, "opt.name": "a b"}, dependencies=("x>=1",)))

    assert (manifest.fab_id, kept) == ("inline/server-client", ("client.py", "server.py"))
    assert (str(manifest.serverapp), str(manifest.clientapp)) == ("server:app", "client:app")
    assert manifest.config == {"lr": 0.1, "opt.name": "a b"}


@pytest.mark.row("S46")
def test_the_version_and_the_bundle_follow_the_content(files: Path) -> None:
    first = built(read())
    assert built(read()) == first

    (files / "client.py").write_text(f"{CLIENT}x = 1\n")
    second = built(read())
    others = [built(read(name="other")), built(read(config={"lr": 1})), second, first]
    assert len({manifest.version for manifest, _, _ in others}) == 4
    assert len({fab_hash for _, _, fab_hash in others}) == 4


@pytest.mark.row("S46")
def test_the_name_is_given_or_made_of_the_files(files: Path) -> None:
    (files / "_my_long_server_application.py").write_text(SERVER)
    assert read(name="my-app").name == "my-app"
    name = read(server="_my_long_server_application.py:app").name
    assert name == "my-long-server-application-clien"
    with pytest.raises(InlineAppError, match="--name 'my app' is not allowed"):
        read(name="my app")


@pytest.mark.row("S46")
def test_files_may_lie_apart_and_import_each_other(files: Path) -> None:
    other = files / "other"
    other.mkdir()
    (other / "nodes.py").write_text(f"import server, random\n{CLIENT}")
    _, kept, _ = built(read(client=f"{other}/nodes.py:app"))
    assert kept == ("nodes.py", "server.py")


@pytest.mark.row("S46")
def test_nothing_is_executed(files: Path) -> None:
    proof = files / "executed"
    (files / "client.py").write_text(f"open({str(proof)!r}, 'w')\n{CLIENT}")
    built(read())
    assert not proof.exists()


@pytest.mark.row("S46")
@pytest.mark.parametrize(
    ("server", "client", "why", "remedy"),
    [
        ("absent.py:app", "client.py:app", "there is no file", "--server-app FILE.py:OBJECT"),
        ("server.py:ap", "client.py:app", "does not define 'ap'; ServerApp objects in it: app",
         "--server-app server.py:app"),
        ("server.py", "client.py:app", "without an object; ServerApp objects in it: app",
         "--server-app server.py:app"),
        ("plain.py:app", "client.py:app", "objects in it: model", "--server-app plain.py:model"),
        ("empty.py:app", "client.py:app", "objects in it: none", "app = ServerApp(...)"),
        ("client.py:app", "server.py:app", "'app' is a ClientApp", "exchange"),
        ("server.py:app", "./server.py:app", "name the same file server.py", "file of its own"),
        ("broken.py:app", "client.py:app", "no valid Python: line 2:", "correct that line"),
        ("server.txt:app", "client.py:app", "is no Python file", "rename"),
        ("my-server.py:app", "client.py:app", "cannot be imported", "rename"),
        ("queue.py:app", "client.py:app", "would hide the module 'queue'", "rename"),
        ("test_server.py:app", "client.py:app", "name of a test", "rename"),
        ("server.py:app", "other/server.py:app", "both files are called server.py", "rename"),
        ("server.py:app", "needs_third.py:app", "imports 'third', which lies beside", "flwr new"),
        ("server.py:app", "relative.py:app", "imports relative to a package", "flwr new"),
    ],
)  # fmt: skip
def test_every_refusal_names_its_cause_and_the_next_step(
    files: Path, server: str, client: str, why: str, remedy: str
) -> None:
    written = {
        "plain.py": "import x\nmodel = 3\n",
        "empty.py": "import flwr\n",
        "broken.py": "a = 1\nb = = 2\n",
        "server.txt": SERVER,
        "my-server.py": SERVER,
        "queue.py": SERVER,
        "test_server.py": SERVER,
        "other/server.py": CLIENT,
        "needs_third.py": f"from third.x import y\n{CLIENT}",
        "third.py": "",
        "relative.py": f"from .server import app as y\n{CLIENT}",
    }
    (files / "other").mkdir()
    for name, text in written.items():
        (files / name).write_text(text)
    with pytest.raises(InlineAppError) as caught:
        read(server, client)
    assert why in caught.value.message
    assert remedy in caught.value.hint


@pytest.mark.parametrize("requirement", ["", " x", "x\ny", "-r file"])
@pytest.mark.usefixtures("files")
def test_a_dependency_that_names_no_package_is_refused(requirement: str) -> None:
    with pytest.raises(InlineAppError, match="names no package"):
        read(dependencies=(requirement,))
