from pathlib import Path
from typing import Any

import pytest

from flwr.shell.health_settings import HealthConfig
from flwr.shell.settings import ConfigError
from flwr.superlink.config import REFUSED, SuperLinkConfig, load_config

TLS = ("--ssl-certfile", "c", "--ssl-keyfile", "k", "--ssl-ca-certfile", "a")


def config(*argv: str, **env: str) -> SuperLinkConfig:
    return load_config(argv, env)[0]


@pytest.mark.row("S6", "S28")
def test_defaults_start_a_superexec_and_keep_appio_on_loopback() -> None:
    made = config("--insecure")
    assert made.appio.starts_superexec
    assert made.appio.address == "127.0.0.1:9091"
    assert made.fleet_address == "0.0.0.0:9092"
    assert made.control_address == "0.0.0.0:9093"
    assert made.reporting.health == HealthConfig()
    assert made.appio.is_insecure
    assert not made.requires_node_auth
    assert made.database == str(made.state_dir / "superlink.db")


@pytest.mark.row("S31")
def test_neither_certificates_nor_insecure_is_refused_naming_both() -> None:
    with pytest.raises(ConfigError) as refused:
        config()
    said = refused.value.message + refused.value.hint
    assert "--insecure" in said
    assert "--ssl-certfile" in said


@pytest.mark.parametrize("argv", [TLS[:4], ("--insecure", *TLS)])
def test_half_a_set_of_certificates_and_both_modes_are_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        config(*argv)


@pytest.mark.row("S24")
def test_tls_covers_appio_unless_the_operator_says_otherwise() -> None:
    secured = config(*TLS)
    assert not secured.appio.is_insecure
    assert secured.appio.tls is None, "made for our own SuperExec"
    assert config(*TLS, "--appio-insecure").appio.is_insecure
    with pytest.raises(ConfigError, match="--isolation process"):
        config(*TLS, "--isolation", "process")
    own = ("--appio-certfile", "c", "--appio-keyfile", "k")
    external = config(*TLS, "--isolation", "process", *own)
    assert external.appio.tls is not None
    assert not external.appio.is_insecure
    with pytest.raises(ConfigError, match="trust"):
        config(*TLS, *own)
    with pytest.raises(ConfigError, match="go together"):
        config(*TLS, "--appio-certfile", "c")
    with pytest.raises(ConfigError, match="contradict"):
        config(*TLS, *own, "--appio-insecure")


@pytest.mark.row("S13", "S15")
def test_older_names_of_flags_are_accepted() -> None:
    made = config(
        "--insecure",
        "--exec-api-address",
        "127.0.0.1:1",
        "--simulationio-api-address",
        "127.0.0.1:2",
    )
    assert made.control_address == "127.0.0.1:1"
    assert made.appio.address == "127.0.0.1:2"


@pytest.mark.parametrize("old", REFUSED, ids=lambda r: r.flag)
def test_flags_of_the_past_name_their_successor(old: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        config("--insecure", old.flag, "x")
    assert old.flag in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("address", ["9092", "host:", ":9092", "host:99999", "host:http"])
def test_a_malformed_address_names_its_flag(address: str) -> None:
    with pytest.raises(ConfigError, match="--fleet-api-address"):
        config("--insecure", f"--fleet-api-address={address}")


@pytest.mark.row("S33")
def test_node_authentication_follows_from_a_key_list_and_needs_tls() -> None:
    assert config(*TLS, "--node-keys", "f").requires_node_auth
    assert config(*TLS, "--enable-supernode-auth").requires_node_auth
    with pytest.raises(ConfigError, match="needs TLS"):
        config("--insecure", "--node-keys", "f")


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "superlink.toml"
    file.write_text('insecure = true\nfleet-api-address = "f:1"\ncontrol-api-address = "f:2"\n')
    env = {"FLWR_SUPERLINK_CONFIG": str(file), "FLWR_SUPERLINK_CONTROL_API_ADDRESS": "e:2"}
    env["FLWR_SUPERLINK_SERVERAPPIO_API_ADDRESS"] = "e:3"
    made = config("--serverappio-api-address", "a:3", **env)
    assert made.fleet_address == "f:1"
    assert made.control_address == "e:2"
    assert made.appio.address == "a:3"


def test_a_database_url_may_come_from_a_file_and_is_masked(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql+psycopg://u:p@h/db\n")
    made = config("--insecure", FLWR_SUPERLINK_DATABASE_FILE=str(secret))
    assert made.database == "postgresql+psycopg://u:p@h/db"


def test_upstreams_name_of_a_database_in_memory_is_accepted() -> None:
    assert config("--insecure", "--database", ":flwr-in-memory:").database == ":memory:"
