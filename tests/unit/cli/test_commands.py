"""The smaller commands: text form, JSON form, errors."""

from pathlib import Path

import pytest

from flwr.core.errors import DeniedError, UnauthenticatedError, UnavailableError
from flwr.core.node import NodeStatus
from flwr.core.run import RunStatus
from flwr.fab.verify import hash_fab
from tests.fakes.control import FakeControl, some_node, some_run
from tests.unit.cli.conftest import HERE, Flwr
from tests.unit.fab import given

JSON = (*HERE, "--format", "json")


@pytest.mark.row("S60", "S61")
def test_runs_are_listed_in_a_table(flwr: Flwr, control: FakeControl) -> None:
    control.runs = {7: some_run(7), 8: some_run(8, RunStatus.FAILED, "boom")}
    outcome = flwr("list", *HERE)

    words = outcome.out.split()
    assert outcome.code == 0
    assert {"@acme/tiny-app==1.2.3", "running", "finished:failed"} <= set(words)
    assert "1m 30s" in outcome.out
    assert flwr("ls", *HERE).out == outcome.out


@pytest.mark.row("S60", "S61")
def test_the_json_list_has_the_contracts_schema_and_the_cause(
    flwr: Flwr, control: FakeControl
) -> None:
    control.runs = {7: some_run(7, RunStatus.FAILED, "boom")}
    assert flwr("list", *JSON).document == {
        "success": True,
        "runs": [
            {
                "run-id": "7",
                "federation": "@none/default",
                "fab-id": "acme/tiny-app",
                "fab-name": "tiny-app",
                "fab-version": "1.2.3",
                "fab-hash": "abababab",
                "status": "finished:failed",
                "details": "boom",
                "elapsed": 90.0,
                "pending-at": "2026-03-01 11:58:20Z",
                "starting-at": "2026-03-01 11:58:30Z",
                "running-at": "2026-03-01 11:58:30Z",
                "finished-at": "2026-03-01 12:00:00Z",
                "network-traffic": {
                    "inbound-bytes": 512,
                    "outbound-bytes": 3900,
                    "total-bytes": 4412,
                },
                "compute-time": {
                    "serverapp-seconds": 90.0,
                    "clientapp-seconds": 2.5,
                    "total-seconds": 92.5,
                },
            }
        ],
    }


@pytest.mark.row("S61")
def test_one_run_is_shown_in_detail_and_a_limit_is_passed_on(
    flwr: Flwr, control: FakeControl
) -> None:
    control.runs = {n: some_run(n, RunStatus.PENDING) for n in range(1, 5)}
    detail = flwr("list", "--run-id", "3", *HERE).out
    assert "abababab...abababab" in detail
    assert "3.8 KB" in detail
    assert len(flwr("list", "--limit", "2", *JSON).document["runs"]) == 2
    assert flwr("list", "--run-id", "3", "--limit", "1", *HERE).code == 2
    assert flwr("list", "--run-id", "9", *HERE).code == 4


@pytest.mark.row("S61")
def test_a_thousand_runs_are_one_document(flwr: Flwr, control: FakeControl) -> None:
    control.runs = {n: some_run(n) for n in range(1, 1001)}
    assert len(flwr("list", *JSON).document["runs"]) == 1000


@pytest.mark.row("S63")
def test_stopping_says_so_and_a_finished_run_is_an_error(flwr: Flwr, control: FakeControl) -> None:
    control.runs = {7: some_run(7), 8: some_run(8)}
    assert flwr("stop", "7", *HERE).out == "Run 7 successfully stopped.\n"
    assert flwr("stop", "8", *JSON).document == {"success": True, "run-id": "8"}

    again = flwr("stop", "8", *JSON)
    assert again.code == 6
    assert again.document == {"success": False, "error-message": "Run is already finished"}
    assert flwr("stop", "9", *HERE).code == 4


@pytest.mark.row("S62")
def test_a_log_is_followed_to_the_end_whatever_became_of_the_run(
    flwr: Flwr, control: FakeControl
) -> None:
    control.runs = {7: some_run(7)}
    control.ends_as, control.chunks = RunStatus.FAILED, [("a\n", 1.0), ("b\n", 2.0)]
    control.breaks_after = [0]
    outcome = flwr("log", "7", *HERE)
    assert outcome.code == 3  # never answered before: told at once
    control.breaks_after = [1]
    outcome = flwr("log", "7", *HERE)
    assert (outcome.code, outcome.out) == (0, "a\nb\n")


@pytest.mark.row("S62")
def test_what_is_there_of_a_log_is_shown(flwr: Flwr, control: FakeControl) -> None:
    control.runs, control.chunks = {7: some_run(7)}, [("a\n", 1.0)]
    assert flwr("log", "7", "--show", *HERE).out == "a\n"
    for flag in ("--show", "--stream"):
        outcome = flwr("log", "9", flag, *HERE)
        assert (outcome.code, outcome.err) == (4, "Error: Run ID not found\n")


@pytest.mark.row("F36")
def test_terminal_commands_in_a_log_are_neutralised(flwr: Flwr, control: FakeControl) -> None:
    control.runs = {7: some_run(7)}
    control.chunks = [("\x1b[92mINFO\x1b[0m \x1b]0;owned\x07ok\x1b[2", 1.0), ("J\rdone\n", 2.0)]
    assert flwr("log", "7", "--show", *HERE).out == "INFO okdone\n"


@pytest.mark.row("S44")
def test_building_writes_the_file_and_lists_kept_and_dropped(
    flwr: Flwr, app: Path, tmp_path: Path
) -> None:
    (app / "data.csv").write_text("1")
    outcome = flwr("build", "--app", app)
    document = flwr("build", "--app", app, "--format", "json").document

    assert "  kept     tiny/server_app.py\n" in outcome.out
    assert "  dropped  data.csv  (type not bundled)\n" in outcome.out
    assert hash_fab((tmp_path / document["path"]).read_bytes()) == document["fab-hash"]
    assert document["dropped"] == [{"path": "data.csv", "why": "type not bundled"}]


def test_a_bundle_is_installed_below_the_home(flwr: Flwr, app: Path, tmp_path: Path) -> None:
    path = tmp_path / flwr("build", "--app", app, "--format", "json").document["path"]
    document = flwr("install", path, "--format", "json").document
    assert (Path(document["path"]) / "tiny/server_app.py").is_file()
    assert document["path"].startswith(str(tmp_path / "home/apps"))


def test_what_is_no_bundle_is_not_installed(flwr: Flwr, tmp_path: Path) -> None:
    bad = tmp_path / "bad.fab"
    bad.write_bytes(given.fab()[:-3])
    assert flwr("install", bad).code == 2
    assert flwr("install", tmp_path / "absent.fab").code == 2
    assert not (tmp_path / "home/apps").exists()


@pytest.mark.row("S36")
def test_nodes_are_registered_listed_and_unregistered(
    flwr: Flwr, control: FakeControl, tmp_path: Path
) -> None:
    control.nodes = [some_node(5), some_node(6, NodeStatus.UNREGISTERED)]

    assert flwr("supernode", "unregister", "5", *HERE).out.startswith("SuperNode 5 unregistered")
    assert flwr("supernode", "unregister", "4", *HERE).code == 4
    assert [n["node-id"] for n in flwr("supernode", "list", *JSON).document["nodes"]] == ["5"]
    verbose = flwr("supernode", "ls", "-v", *JSON).document["nodes"]
    assert [n["status"] for n in verbose] == ["online", "unregistered"]
    assert verbose[0] == {
        "node-id": "5",
        "owner-aid": "<id:none>",
        "owner-name": "none",
        "status": "online",
        "created-at": "2026-03-01 11:00:00Z",
        "online-at": "2026-03-01 11:59:18Z",
        "online-elapsed": 42.0,
        "offline-at": "N/A",
        "deleted-at": "N/A",
    }
    assert "42s" in flwr("supernode", "list", *HERE).out


@pytest.mark.row("S36")
def test_only_a_public_key_on_a_nist_curve_can_be_registered(
    flwr: Flwr, control: FakeControl, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    good, bad = tmp_path / "good.pub", tmp_path / "bad.pub"
    ssh = (form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    good.write_bytes(ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*ssh))
    bad.write_bytes(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*ssh))

    assert flwr("supernode", "register", good, *JSON).document == {"success": True, "node-id": 11}
    assert str(control.asked[0][1]).startswith("b'-----BEGIN PUBLIC KEY")
    assert flwr("supernode", "register", bad, *HERE).code == 2
    assert flwr("supernode", "register", tmp_path / "absent", *HERE).code == 2
    assert len(control.asked) == 1


def test_federations_are_listed_and_shown(flwr: Flwr, control: FakeControl) -> None:
    control.nodes, control.runs = [some_node(5)], {7: some_run()}
    assert flwr("federation", "list", *JSON).document == {
        "federations": [
            {"name": "@none/default", "description": "open", "archived": False, "simulation": False}
        ]
    }
    shown = flwr("federation", "show", "@none/default", *JSON).document["federation"]
    assert shown["members"] == [{"member_id": "none", "role": "owner"}]
    assert shown["nodes"] == [{"node_id": "5", "owner": "none", "status": "online"}]
    assert shown["runs"][0]["app"] == "@acme/tiny-app==1.2.3"
    assert flwr("federation", "list", "--federation", "x", *HERE).out.startswith("Federation x")


@pytest.mark.parametrize(
    "command", [["create", "x", "--simulation"], ["add-supernode", "1", "x"], ["invite", "list"]]
)
def test_managing_federations_is_refused_clearly(flwr: Flwr, command: list[str]) -> None:
    outcome = flwr("federation", *command, *JSON)
    assert outcome.code == 6
    assert "does not support federation management" in outcome.document["error-message"]


def test_the_connections_are_listed_with_their_places(flwr: Flwr, tmp_path: Path) -> None:
    assert flwr("config", "list", "--format", "json").document == {
        "superlink": ["local"],
        "default": "local",
    }
    (tmp_path / "pyproject.toml").write_text(
        '[tool.flwr.federations]\ndefault = "a"\na = {address = "h:1"}\n'
    )
    document = flwr("config", "ls", "--format", "json").document
    assert document == {"superlink": ["a", "local"], "default": "a"}
    assert str(tmp_path / "pyproject.toml") in flwr("config", "list").out


def test_the_first_use_of_a_named_connection_leaves_a_file_to_edit(
    flwr: Flwr, tmp_path: Path
) -> None:
    outcome = flwr("list", "absent")
    assert outcome.code == 4
    assert "known connections: local" in outcome.err
    assert 'default = "local"' in (tmp_path / "home/config.toml").read_text()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnauthenticatedError("who are you"), 5),
        (DeniedError("not yours"), 5),
        (UnavailableError("gone"), 3),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["stop", "7"],
        ["supernode", "list"],
        ["supernode", "unregister", "7"],
        ["federation", "list"],
        ["federation", "show", "x"],
    ],
)
def test_every_failure_has_its_exit_code_in_json_form_too(
    flwr: Flwr, control: FakeControl, command: list[str], error: Exception, code: int
) -> None:
    control.failures = [error]  # type: ignore[list-item]
    outcome = flwr(*command, *JSON)
    assert outcome.code == code
    assert outcome.document["success"] is False


def test_a_wrong_command_line_is_exit_code_two_in_both_forms(flwr: Flwr) -> None:
    text = flwr("list", "--limit", "0")
    assert (text.code, text.out) == (2, "")
    assert "--limit" in text.err
    document = flwr("list", "--limit", "0", "--format", "json")
    assert document.code == 2
    assert document.document["success"] is False
    assert flwr("nonsense").code == 2


def test_help_and_version(flwr: Flwr) -> None:
    assert flwr("--version").out == "Flower version: 1.29.0\n"
    assert flwr("-V").code == 0
    assert flwr("-h").code == 0
    assert flwr().code == 2
    for command in ("run", "list", "log", "stop", "build", "install", "new", "local", "config"):
        assert flwr(command, "-h").code == 0
