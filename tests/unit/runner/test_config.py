import pytest

from flwr.core.lease import AppKind
from flwr.runner.config import load_config, superexec_command
from flwr.shell.settings import ConfigError


def test_upstreams_superexec_can_start_our_runner() -> None:
    argv = [
        "--insecure",
        "--serverappio-api-address",
        "127.0.0.1:1",
        "--token",
        "abc",
        "--parent-pid",
        "7",
    ]
    old = ["--run-once", "--flwr-dir", "/old", "--allow-runtime-dependency-installation"]

    config, _ = load_config(AppKind.SERVERAPP, [*argv, *old], env={})

    assert (config.address, config.token, config.parent_pid) == ("127.0.0.1:1", "abc", 7)
    assert config.root_certificates is None
    assert "abc" not in repr(config)


@pytest.mark.row("F21")
def test_a_token_on_standard_input_is_not_waited_for_while_settings_are_read() -> None:
    config, _ = load_config(AppKind.CLIENTAPP, ["--insecure", "--token-stdin"], env={})
    assert (config.token, config.awaits_token) == ("", True)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ([], "neither secured nor declared insecure"),
        (["--insecure", "--root-certificates", "x"], "both"),
        (["--insecure", "--token-stdin", "--token", "x"], "both"),
    ],
)
def test_contradictions_are_refused(argv: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_config(AppKind.CLIENTAPP, argv, env={})


def test_without_a_token_it_becomes_a_superexec() -> None:
    argv = ["--root-certificates", "/ca.pem", "--superexec-auth-secret-file", "/secret"]
    argv += ["--max-apps", "3", "--health-file", "/run/health"]
    config, values = load_config(AppKind.CLIENTAPP, argv, env={})
    command = list(superexec_command(config, values))
    assert command[1:] == [
        *("-P", "-m", "flwr.superexec.main"),
        *("--appio-api-address", "127.0.0.1:9094", "--plugin-type", "clientapp"),
        *("--root-certificates", "/ca.pem", "--superexec-auth-secret-file", "/secret"),
        *("--max-apps", "3", "--health-file", "/run/health", "--log-level", "INFO"),
    ]
