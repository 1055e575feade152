from pathlib import Path

import pytest

from flwr.core.errors import InvalidError
from flwr.simulation.config import is_launch, load_config


def test_defaults_run_the_app_of_this_folder() -> None:
    settings = load_config([])
    assert settings is not None
    assert (settings.app, settings.num_supernodes, settings.workers) == (".", 10, None)
    assert settings.run_config == {}
    assert not settings.is_json


def test_the_run_config_is_pairs_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("lr = 0.5\n[model]\nsize = 3\n")
    pairs, toml = load_config(["--run-config", "lr=0.5"]), load_config(["--run-config", str(file)])
    assert pairs is not None
    assert toml is not None
    assert pairs.run_config == {"lr": 0.5}
    assert toml.run_config == {"lr": 0.5, "model.size": 3}


@pytest.mark.parametrize("text", ["lr", "nowhere.toml"])
def test_an_unreadable_run_config_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        load_config(["--run-config", text])


def test_a_check_only_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_config(["--check-config", "--num-supernodes", "7"]) is None
    assert '"num_supernodes": 7' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "launched"),
    [
        (["--insecure", "--serverappio-api-address", "127.0.0.1:9091", "--token", "x"], True),
        (["--token=x"], True),
        (["--app", "there", "--num-supernodes", "5"], False),
    ],
)
def test_a_launch_by_a_superexec_is_recognised(argv: list[str], launched: bool) -> None:
    assert is_launch(argv) is launched
