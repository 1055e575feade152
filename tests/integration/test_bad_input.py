"""Bad input gets a cause and a remedy, and nothing is lost or half written."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.apps import TINY, config, quick
from tests.harness.federation import CONNECTION, Federation
from tests.harness.ports import free_address
from tests.harness.program import Program
from tests.harness.toolset import OURS


def copy_of(app: Path, target: Path) -> Path:
    return Path(shutil.copytree(app, target, ignore=shutil.ignore_patterns("__pycache__")))


def refused(federation: Federation, app: Path) -> str:
    before = federation.runs()
    done = federation.flwr("run", str(app), CONNECTION, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert federation.runs() == before
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A SuperLink that lives through everything it is asked here."""
    with Federation(tmp_path_factory.mktemp("link"), tls=False) as federation:
        federation.superlink = federation.start_superlink()
        yield federation
        assert federation.superlink.is_alive


def test_a_broken_pyproject_names_every_problem(link: Federation, tmp_path: Path) -> None:
    app = copy_of(TINY, tmp_path / "app")
    project = app / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace('publisher = "acme"', "").replace('version = "1.0.0"', ""))
    said = refused(link, app)
    assert "publisher" in said
    assert "version" in said
    project.write_text("[project\n")
    assert "pyproject.toml" in refused(link, app)


def test_a_wrong_component_reference_is_refused(link: Federation, tmp_path: Path) -> None:
    app = copy_of(TINY, tmp_path / "app")
    project = app / "pyproject.toml"
    project.write_text(project.read_text().replace("tiny.client_app:app", "tiny.client_app:nope"))
    assert "nope" in refused(link, app)


def test_a_bundle_that_is_too_large_is_refused(link: Federation, tmp_path: Path) -> None:
    app = copy_of(TINY, tmp_path / "app")
    (app / "tiny" / "big.json").write_bytes(b"1" * 11_000_000)
    said = refused(link, app)
    assert "10" in said
    assert "MiB" in said or "10485760" in said


def test_an_app_that_fails_on_import_fails_its_run_with_the_traceback(
    link: Federation, tmp_path: Path
) -> None:
    app = copy_of(TINY, tmp_path / "app")
    (app / "tiny" / "server_app.py").write_text("import missing_module_xyz\napp = None\n")

    run = link.await_end(link.submit(app))

    assert run["status"] == "finished:failed"
    assert "missing_module_xyz" in run["details"]
    log = link.log_of(run["run-id"])
    assert "Traceback" in log
    assert "ModuleNotFoundError" in log


@pytest.mark.parametrize(
    ("how", "cause"), [("server-raises", "server boom"), ("server-exits", "7")]
)
def test_a_serverapp_that_raises_or_exits_fails_at_once(
    link: Federation, how: str, cause: str
) -> None:
    run = link.await_end(link.submit(TINY, *config(fail=how)))

    assert run["status"] == "finished:failed"
    assert cause in run["details"]  # known of its end, not of a lease that nobody prolonged


def test_a_client_app_that_fails_on_import_is_an_error_reply(
    link: Federation, tmp_path: Path
) -> None:
    app = copy_of(TINY, tmp_path / "app")
    (app / "tiny" / "client_app.py").write_text("import missing_module_xyz\napp = None\n")
    link.start_node(1)
    link.start_node(2)
    link.await_nodes(2)

    run_id = link.submit(app, *quick())
    assert link.await_end(run_id)["status"].startswith("finished")
    assert "missing_module_xyz" in link.log_of(run_id)


def started_with(federation: Federation, database: Path) -> Program:
    return federation.start(
        "superlink", OURS, "flower-superlink", "--insecure", "--database", str(database),
        "--state-dir", str(federation.root / "state"),
        "--fleet-api-address", free_address(), "--control-api-address", free_address(),
        "--serverappio-api-address", free_address(),
    )  # fmt: skip


@pytest.mark.row("F11")
@pytest.mark.parametrize("damage", ["zero-length", "garbage", "truncated"])
def test_a_damaged_database_is_never_started_on(federation: Federation, damage: str) -> None:
    database = federation.root / "superlink.db"
    federation.start_superlink().stop()
    for leftover in federation.root.glob("superlink.db-*"):
        leftover.unlink()
    whole = database.read_bytes()
    database.write_bytes(
        {"zero-length": b"", "garbage": b"\xff" * 50_000, "truncated": whole[: len(whole) // 2]}[
            damage
        ],
    )
    before = database.read_bytes()

    link = started_with(federation, database)

    assert link.wait() == 6, link.output
    assert str(database) in link.output
    assert "backup" in link.output
    assert "Traceback" not in link.output
    assert database.read_bytes() == before, "evidence must not be overwritten"


@pytest.mark.row("F11", "F42")
def test_a_newer_schema_is_refused(federation: Federation) -> None:
    database = federation.root / "superlink.db"
    federation.start_superlink().stop()
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    link = started_with(federation, database)

    assert link.wait() == 6, link.output
    assert "newer" in link.output


def test_an_unwritable_state_folder_is_named(federation: Federation) -> None:
    blocked = federation.root / "file"
    blocked.write_text("in the way")

    link = started_with(federation, blocked / "superlink.db")

    assert link.wait() == 6, link.output
    assert str(blocked) in link.output


def test_no_one_listening_is_said_within_seconds(federation: Federation) -> None:
    begun = time.monotonic()
    done = federation.flwr("ls", CONNECTION, check=False)

    assert done.returncode == 3
    assert federation.control in done.stdout + done.stderr
    assert time.monotonic() - begun < 30


def test_an_unknown_connection_lists_the_known_ones(federation: Federation) -> None:
    done = federation.flwr("ls", "tset", check=False)

    assert done.returncode in {2, 4}
    assert CONNECTION in done.stdout + done.stderr
