from datetime import timedelta
from pathlib import Path

import pytest

from flwr.cli.environment import Environment
from flwr.control.connection import Connection
from flwr.core.errors import FailedPreconditionError, UnavailableError
from flwr.core.limits import CONTACT_LOST
from flwr.core.run import RunStatus
from tests.fakes.clock import FakeClock
from tests.fakes.control import FakeControl
from tests.unit.cli.conftest import HERE, Flwr


def submitted(control: FakeControl) -> list[tuple[object, ...]]:
    return [args for call, args in control.asked if call == "start_run"]  # type: ignore[misc]


@pytest.mark.row("S56", "S58")
def test_a_submitted_run_is_confirmed_with_its_id(
    flwr: Flwr, app: Path, control: FakeControl
) -> None:
    outcome = flwr("run", app, *HERE)

    assert (outcome.code, outcome.out) == (0, "Successfully started run 7\n")
    assert control.connections == [
        Connection(
            name="127.0.0.1:9093", address="127.0.0.1:9093", insecure=True, source="command line"
        )
    ]


def test_the_json_form_is_one_document_with_text_ids(flwr: Flwr, app: Path) -> None:
    outcome = flwr("run", app, *HERE, "--format", "json")

    document = outcome.document
    assert document.pop("fab-hash") == document.pop("fab-filename").split(".")[-2]
    assert document == {
        "success": True,
        "run-id": "7",
        "fab-id": "acme/tiny-app",
        "fab-name": "tiny-app",
        "fab-version": "1.2.3",
    }


@pytest.mark.row("S48")
def test_overrides_are_typed_and_repeatable(flwr: Flwr, app: Path, control: FakeControl) -> None:
    flwr("run", app, *HERE, "-c", "rounds=5", "--run-config", 'opt.name="a b"')
    assert submitted(control)[0][0] == {"rounds": 5, "opt.name": "a b"}


@pytest.mark.row("S48")
def test_overrides_may_come_from_a_file(
    flwr: Flwr, app: Path, control: FakeControl, tmp_path: Path
) -> None:
    (tmp_path / "over.toml").write_text('rounds = 9\n[opt]\nname = "adam"\n')
    flwr("run", app, *HERE, "-c", tmp_path / "over.toml")
    assert submitted(control)[0][0] == {"rounds": 9, "opt.name": "adam"}


@pytest.mark.row("S48")
@pytest.mark.parametrize(
    ("config", "code", "why"),
    [
        (["lr=1"], 6, "Key 'lr' is not present"),
        (["rounds"], 2, "cannot read configuration"),
        (["rounds=abc"], 2, "is no TOML value"),
        (["absent.toml"], 2, "there is no file absent.toml"),
        (["a.toml", "rounds=1"], 2, "not both"),
    ],
)
def test_a_wrong_override_is_refused_before_anything_is_sent(
    flwr: Flwr, app: Path, control: FakeControl, config: list[str], code: int, why: str
) -> None:
    outcome = flwr("run", app, *HERE, *(word for text in config for word in ("-c", text)))
    assert (outcome.code, outcome.out) == (code, "")
    assert why in outcome.err
    assert control.asked == []


@pytest.mark.row("S56")
def test_each_invocation_has_its_own_submit_key_unless_one_is_given(
    flwr: Flwr, app: Path, control: FakeControl
) -> None:
    flwr("run", app, *HERE)
    flwr("run", app, *HERE)
    flwr("run", app, *HERE, "--submit-key", "nightly")
    keys = [args[3] for args in submitted(control)]
    assert len(set(keys)) == 3
    assert keys[2] == "nightly"


@pytest.mark.row("S56")
def test_a_lost_answer_is_asked_again_with_the_same_key(
    flwr: Flwr, app: Path, control: FakeControl
) -> None:
    control.failures = [UnavailableError("lost"), UnavailableError("lost"), None]
    assert flwr("run", app, *HERE).code == 0
    assert len({args[3] for args in submitted(control)}) == 1
    assert len(submitted(control)) == 3


@pytest.mark.row("S31")
def test_an_unreachable_superlink_is_explained(flwr: Flwr, app: Path, control: FakeControl) -> None:
    control.failures = [UnavailableError("connection refused", hint="start it")] * 3
    outcome = flwr("run", app, *HERE)
    assert outcome.code == 3
    assert outcome.err == "Error: connection refused\n  what to do: start it\n"


@pytest.mark.row("S31")
def test_a_slow_diagnosis_is_not_repeated(
    flwr: Flwr, app: Path, control: FakeControl, environment: Environment
) -> None:
    clock = environment.clock
    assert isinstance(clock, FakeClock)
    control.on_call = lambda: clock.advance(timedelta(seconds=6))
    control.failures = [UnavailableError("no answer")] * 3
    assert flwr("run", app, *HERE).code == 3
    assert len(submitted(control)) == 1


@pytest.mark.row("S57")
def test_waiting_ends_with_zero_when_the_run_completed(
    flwr: Flwr, app: Path, control: FakeControl
) -> None:
    control.chunks = [("hello\n", 1.0)]
    outcome = flwr("run", app, *HERE, "--wait")
    assert (outcome.code, outcome.out) == (0, "Successfully started run 7\nRun 7 completed\n")


@pytest.mark.row("S57")
@pytest.mark.parametrize("ends_as", [RunStatus.FAILED, RunStatus.STOPPED])
@pytest.mark.parametrize("flag", ["--wait", "--stream"])
def test_following_ends_with_six_and_the_cause_when_the_run_did_not_complete(
    flwr: Flwr, app: Path, control: FakeControl, ends_as: RunStatus, flag: str
) -> None:
    control.ends_as, control.details = ends_as, "serverapp-lost (exit code 9)"
    outcome = flwr("run", app, *HERE, flag)
    assert outcome.code == 6
    assert outcome.err == (
        f"Error: run 7 {ends_as}: serverapp-lost (exit code 9)\n"
        "  what to do: read its log: flwr log 7 --show\n"
    )


@pytest.mark.row("S57")
def test_a_failed_run_in_json_form_is_one_document_and_exit_code_six(
    flwr: Flwr, app: Path, control: FakeControl
) -> None:
    control.ends_as, control.details = RunStatus.FAILED, "boom"
    control.chunks = [("training\n", 1.0)]
    outcome = flwr("run", app, *HERE, "--stream", "--format", "json")
    assert outcome.code == 6
    assert outcome.document["success"] is False
    assert outcome.document["run-id"] == "7"
    assert outcome.document["status"] == "finished:failed"
    assert outcome.document["error-message"] == "run 7 failed: boom"
    assert outcome.err == "training\n"


@pytest.mark.row("S62")
def test_streaming_shows_the_log(flwr: Flwr, app: Path, control: FakeControl) -> None:
    control.chunks = [("one\n", 1.0), ("two\n", 2.0)]
    outcome = flwr("run", app, *HERE, "--stream")
    assert outcome.out == "Successfully started run 7\none\ntwo\nRun 7 completed\n"


@pytest.mark.row("S62")
def test_a_lost_stream_resumes_after_the_last_chunk_without_gap_or_repeat(
    flwr: Flwr, app: Path, control: FakeControl, pauses: list[float]
) -> None:
    control.chunks = [(f"{n}\n", float(n)) for n in range(1, 6)]
    control.breaks_after = [2, 0, 1]
    outcome = flwr("run", app, *HERE, "--stream")

    assert outcome.out == "Successfully started run 7\n1\n2\n3\n4\n5\nRun 7 completed\n"
    assert [a for call, a in control.asked if call == "stream_logs"] == [0.0, 2.0, 2.0, 3.0]
    assert outcome.err.count("Lost the connection") == 2  # once per loss, not per attempt
    assert len(pauses) == 3


@pytest.mark.row("S57")
def test_following_gives_up_when_the_superlink_stays_away(
    flwr: Flwr, app: Path, control: FakeControl, environment: Environment
) -> None:
    clock = environment.clock
    assert isinstance(clock, FakeClock)
    control.breaks_after = [0] * 100
    object.__setattr__(environment, "pause", lambda _: clock.advance(CONTACT_LOST / 3))
    outcome = flwr("run", app, *HERE, "--wait")
    assert outcome.code == 3


@pytest.mark.row("S49")
def test_a_wrong_federation_gets_the_list_of_valid_names(flwr: Flwr, app: Path) -> None:
    outcome = flwr("run", app, *HERE, "--federation", "other")
    assert outcome.code == 4
    assert "federations of this SuperLink: @none/default" in outcome.err


def test_simulation_settings_are_sent(flwr: Flwr, app: Path, control: FakeControl) -> None:
    flwr("run", app, *HERE, "--federation-config", "num-supernodes=5 verbose=true")
    simulation = submitted(control)[0][2]
    assert (simulation.num_supernodes, simulation.verbose) == (5, True)  # type: ignore[attr-defined]


def test_an_unknown_simulation_setting_lists_the_known_ones(flwr: Flwr, app: Path) -> None:
    outcome = flwr("run", app, *HERE, "--federation-config", "nodes=5")
    assert outcome.code == 2
    assert "known keys: num-supernodes" in outcome.err


def test_a_server_side_refusal_is_passed_on(flwr: Flwr, app: Path, control: FakeControl) -> None:
    control.failures = [FailedPreconditionError("not now", hint="later")]
    outcome = flwr("run", app, *HERE, "--format", "json")
    assert outcome.code == 6
    assert outcome.document == {"success": False, "error-message": "not now", "hint": "later"}


@pytest.mark.parametrize(
    ("argument", "code", "why"),
    [("absent", 2, "there is no folder 'absent'"), ("@acme/app", 6, "hub are not supported")],
)
def test_an_app_that_is_no_folder_is_refused(
    flwr: Flwr, argument: str, code: int, why: str
) -> None:
    outcome = flwr("run", argument, *HERE)
    assert outcome.code == code
    assert why in outcome.err


def test_every_problem_of_the_manifest_is_printed(flwr: Flwr, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    outcome = flwr("run", ".", *HERE)
    assert outcome.code == 2
    assert '  - property "name" missing in [project]\n' in outcome.err
