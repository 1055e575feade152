from datetime import timedelta
from pathlib import Path

import pytest

from flwr.core.run_config import ConfigSyntaxError
from flwr.shell.settings import ConfigError
from flwr.supernode.config import SuperNodeConfig, load_config


def load(*argv: str) -> SuperNodeConfig:
    return load_config(argv, env={})[0]


@pytest.mark.row("S37")
def test_the_node_config_is_typed_and_keeps_quoted_text() -> None:
    config = load("--insecure", "--node-config", 'partition-id=3 rate=0.5 on=true d="a b=c"')
    assert config.node_config == {"partition-id": 3, "rate": 0.5, "on": True, "d": "a b=c"}


@pytest.mark.row("S37")
@pytest.mark.parametrize("text", ["partition-id", "a=[1]", "a=1,b=2", "=3"])
def test_a_node_config_that_cannot_be_read_fails_at_the_start(text: str) -> None:
    with pytest.raises(ConfigSyntaxError):
        load("--insecure", "--node-config", text)


def test_the_defaults_are_tls_a_local_port_and_a_superexec_of_our_own() -> None:
    config = load("--root-certificates", "ca.crt")
    assert not config.is_insecure
    assert config.appio.address == "127.0.0.1:9094"
    assert config.appio.starts_superexec
    assert not config.appio.is_insecure
    assert config.state_dir is None
    assert config.max_wait is None
    assert not config.shares_app_logs
    assert not config.appio.accepts_old_apps


@pytest.mark.row("S31")
@pytest.mark.parametrize(
    "argv",
    [
        ("--insecure", "--root-certificates", "ca.crt"),
        ("--insecure", "--auth-supernode-private-key", "key"),
        ("--insecure", "--appio-certfile", "c.crt"),
        ("--insecure", "--appio-certfile", "c.crt", "--appio-keyfile", "c.key"),
        ("--root-certificates", "system", "--appio-insecure", "--appio-certfile", "c"),
        (),
        ("--root-certificates", "ca.crt", "--isolation", "process"),
        ("--insecure", "--superlink", "nowhere"),
        ("--insecure", "--max-apps", "0"),
        ("--insecure", "--max-retries", "-1"),
        ("--insecure", "--max-wait-time", "nan"),
        ("--insecure", "--heartbeat-interval", "5"),
        ("--insecure", "--rest"),
    ],
)
def test_contradictions_are_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        load(*argv)


def test_clear_text_to_the_superlink_means_clear_text_to_the_apps() -> None:
    assert load("--insecure").appio.is_insecure
    assert load("--insecure", "--isolation", "process").appio.is_insecure


@pytest.mark.row("S25")
def test_process_isolation_takes_certificates_of_its_own() -> None:
    files = ("--appio-certfile", "c.crt", "--appio-keyfile", "c.key")
    config = load("--root-certificates", "system", "--isolation", "process", *files)
    assert config.root_certificates is None
    assert config.appio.tls is not None
    assert config.appio.tls.certificate == Path("c.crt")
    assert not config.appio.starts_superexec


def test_settings_come_from_the_environment_too(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    pairs.write_text("partition-id=1\n")
    env = {
        "FLWR_SUPERNODE_INSECURE": "true",
        "FLWR_SUPERNODE_NODE_CONFIG_FILE": str(pairs),
        "FLWR_SUPERNODE_MAX_WAIT_TIME": "2.5",
        "FLWR_SUPERNODE_STATE_DIR": str(tmp_path),
    }
    config, _ = load_config((), env=env)
    assert config.node_config == {"partition-id": 1}
    assert config.max_wait == timedelta(seconds=2.5)
    assert config.state_dir == tmp_path
