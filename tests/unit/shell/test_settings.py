import json
from pathlib import Path

import pytest

from flwr.shell.settings import ConfigError, Refused, Setting, load_settings, show_settings

SETTINGS = (
    Setting(flag="--fleet-api-address", help="where nodes connect", default="0.0.0.0:9092"),
    Setting(flag="--insecure", help="no TLS", is_switch=True, default=False),
    Setting(flag="--max-apps", help="slots", read=int, default=2),
    Setting(flag="--database", help="state", is_secret=True),
    Setting(flag="--control-api-address", aliases=("--exec-api-address",), help="users"),
)


def load(argv: list[str], env: dict[str, str] | None = None) -> dict[str, object]:
    return load_settings(
        "flower-superlink",
        SETTINGS,
        argv,
        description="d",
        env=env or {},
        refused=(Refused(flag="--executor", successor="remove it"),),
    )


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('max-apps = 5\nfleet-api-address = "file:1"\ndatabase = "file.db"\n')
    env = {"FLWR_SUPERLINK_FLEET_API_ADDRESS": "env:1", "FLWR_SUPERLINK_MAX_APPS": "4"}

    values = load(["--config", str(file), "--max-apps", "3"], env)

    assert values["max_apps"] == 3
    assert values["fleet_api_address"] == "env:1"
    assert values["database"] == "file.db"


def test_a_secret_comes_from_the_file_its_variable_names(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://u:p@db/x\n")

    values = load([], {"FLWR_SUPERLINK_DATABASE_FILE": str(secret)})

    assert values["database"] == "postgresql://u:p@db/x"


def test_a_value_and_a_file_for_it_contradict_each_other(tmp_path: Path) -> None:
    env = {"FLWR_SUPERLINK_DATABASE": "a", "FLWR_SUPERLINK_DATABASE_FILE": "b"}

    with pytest.raises(ConfigError, match="both FLWR_SUPERLINK_DATABASE and"):
        load([], env)


def test_a_number_that_is_none_names_its_flag() -> None:
    with pytest.raises(ConfigError, match="--max-apps"):
        load(["--max-apps", "many"])


def test_an_unknown_key_in_the_file_lists_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("max-aps = 5\n")

    with pytest.raises(ConfigError, match="unknown keys: max_aps") as refused:
        load(["--config", str(file)])
    assert "max_apps" in refused.value.hint


def test_a_flag_of_the_past_names_its_successor() -> None:
    with pytest.raises(ConfigError, match="--executor is no longer a flag"):
        load(["--executor", "x"])


@pytest.mark.row("S13")
def test_both_names_of_the_control_api_are_accepted() -> None:
    assert load(["--exec-api-address", "h:1"])["control_api_address"] == "h:1"
    assert load(["--control-api-address", "h:2"])["control_api_address"] == "h:2"


def test_the_shown_configuration_masks_secrets() -> None:
    shown = json.loads(show_settings(SETTINGS, load(["--database", "postgresql://u:p@db/x"])))

    assert shown["database"] == "********"
    assert shown["max_apps"] == 2
