"""The demo's decisions: whose settings it writes, what it reads from a run, what it says."""

from pathlib import Path

import pytest
from scripts import demo
from scripts.demo import OURS, Demo, RunError, is_ours, settings_text
from scripts.federation import EXAMPLE, SETTINGS, Federation
from scripts.progress import Progress, StepError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where settings would be, in a world where Compose finds two nodes."""
    monkeypatch.setattr(demo, "LOGS", tmp_path / "logs")
    nodes: dict[str, object] = {"services": {"supernode-1": {}, "supernode-2": {}}}
    monkeypatch.setattr(Federation, "model", nodes)
    return tmp_path / ".env"


def test_settings_are_the_example_with_what_was_asked_for() -> None:
    text = settings_text(EXAMPLE.read_text(), {"FLWR_NODES": "5", "FLWR_CLIENTAPP_IMAGE": "x:1"})
    assert text.startswith(OURS)
    assert "\nFLWR_NODES=5\n" in text
    assert "\nFLWR_CLIENTAPP_IMAGE=x:1\n" in text
    assert text.count("\n") == EXAMPLE.read_text().count("\n") + 2


def test_a_setting_that_the_example_lacks_is_an_error() -> None:
    with pytest.raises(StepError, match="FLWR_GONE 0 times"):
        settings_text(EXAMPLE.read_text(), {"FLWR_GONE": "1"})


def test_settings_are_the_demos_until_somebody_takes_them(settings: Path) -> None:
    assert is_ours(settings)
    settings.write_text(settings_text("A=1\n", {}))
    assert is_ours(settings)
    settings.write_text("A=1\n")
    assert not is_ours(settings)


def test_the_demo_writes_settings_where_there_are_none(settings: Path) -> None:
    federation = Demo(settings, 2, 5).settle({"FLWR_CLIENTAPP_IMAGE": "app:1"})
    assert "\nFLWR_NODES=2\n" in settings.read_text()
    assert "FLWR_NODES" not in federation.env


def test_a_number_of_nodes_is_kept_until_another_is_asked_for(settings: Path) -> None:
    Demo(settings, 2, 5).settle({})
    Demo(settings, None, 5).settle({})
    assert "\nFLWR_NODES=2\n" in settings.read_text()


def test_too_few_nodes_for_the_app_are_told_with_the_remedy(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Federation, "model", {"services": {"supernode-1": {}}})
    with pytest.raises(StepError, match=r"starts 1 node(?s:.*)make demo NODES=3"):
        Demo(settings, None, 5).settle({})


def test_settings_of_a_person_are_not_touched(settings: Path) -> None:
    settings.write_text("FLWR_NODES=4\n")
    federation = Demo(settings, 2, 5).settle({"FLWR_CLIENTAPP_IMAGE": "app:1"})
    assert settings.read_text() == "FLWR_NODES=4\n"
    assert federation.env["FLWR_NODES"] == "2"
    assert federation.env["COMPOSE_PROFILES"] == "nodes-2"
    assert federation.env["FLWR_CLIENTAPP_IMAGE"] == "app:1"


def test_rounds_are_shown_and_read_and_chatter_is_not(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk = Demo(settings, 2, 5)
    for line in ("INFO :      [ROUND 1/5]\n", "Round 1: loss 0.2492, accuracy 0.9304\n", "\n"):
        walk.read(line)
    assert walk.outcome.accuracy == 0.9304
    assert walk.outcome.first_round_s is not None
    assert capsys.readouterr().out == "      Round 1: loss 0.2492, accuracy 0.9304\n"


def test_an_untrained_model_is_no_first_round(settings: Path) -> None:
    walk = Demo(settings, 2, 5)
    walk.read("Round 0: loss 2.3026, accuracy 0.1031\n")
    assert walk.outcome.first_round_s is None


@pytest.mark.parametrize("text", ["0", "1", "17", "-1", "three", ""])
def test_a_number_of_nodes_that_cannot_be_is_wrong_usage(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        demo.main([f"--nodes={text}"])
    assert caught.value.code == 2
    assert "is not a number from 2 to 16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StepError("no room"), 3),
        (RunError("too bad"), 1),
        (PermissionError(13, "Permission denied", ".state"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_way_to_end_has_its_code_and_no_traceback(
    error: BaseException,
    code: int,
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_self: Demo, _step: Progress) -> None:
        raise error

    monkeypatch.setattr(Demo, "engine", fail)
    monkeypatch.chdir(settings.parent)
    assert demo.main(["--env-file", str(settings)]) == code
    said = capsys.readouterr().err
    assert str(error.args[-1] if error.args else "") in said
    assert "Traceback" not in said


def test_the_advice_names_the_ports_and_lines_up() -> None:
    federation = Federation(SETTINGS)
    federation._model = {
        "services": {
            "superlink": {
                "ports": [
                    {"target": 9092, "host_ip": "::", "published": "9092"},
                    {"target": 9093, "host_ip": "127.0.0.1", "published": "19093"},
                ]
            }
        }
    }

    text = demo.advice(federation, SETTINGS)
    assert "Control API 127.0.0.1:19093" in text
    rows = [line for line in text.splitlines() if line.startswith("  ")]
    assert len({len(row) - len(row[2:].split("  ", 1)[1].lstrip()) for row in rows}) == 1
