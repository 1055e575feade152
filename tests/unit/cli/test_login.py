"""Logging in, and what the SuperLink is told afterwards."""

import stat
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from flwr.cli.environment import Environment
from flwr.control.credentials import CredentialsError, Login
from flwr.core.errors import UnavailableError
from flwr.wire.clients.accounts import LoginDetails, Tokens
from tests.fakes.clock import FakeClock
from tests.fakes.control import FakeControl
from tests.unit.cli.conftest import HERE, Flwr

THERE = ("--superlink", "hub.example:9093")
TOKENS = Tokens("access", "refresh")


def oidc(authn_type: str = "oidc", interval_s: float = 5) -> LoginDetails:
    return LoginDetails(
        authn_type=authn_type,
        device_code="code",
        verification_uri="https://login.example/device?\x1b]0;owned\x07code=X",
        expires_in=timedelta(seconds=60),
        interval=timedelta(seconds=interval_s),
    )


def test_a_login_is_awaited_and_kept_for_its_owner_alone(
    flwr: Flwr, control: FakeControl, tmp_path: Path, pauses: list[float]
) -> None:
    control.login, control.tokens = oidc(), [None, None, TOKENS]

    outcome = flwr("login", *THERE)

    assert (outcome.code, outcome.out) == (0, "Logged in at hub.example:9093.\n")
    assert outcome.err == "Open this page and log in there: https://login.example/device?code=X\n"
    assert pauses == [5, 5]
    path = tmp_path / "home/credentials.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == {
        "flower.account-auth.hub.example:9093.authn-type": "b2lkYw==",
        "flower.account-auth.hub.example:9093.oidc-access-token": "YWNjZXNz",
        "flower.account-auth.hub.example:9093.oidc-refresh-token": "cmVmcmVzaA==",
    }
    assert "access" not in outcome.out + outcome.err


def test_a_superlink_that_is_away_for_a_moment_does_not_end_a_login(
    flwr: Flwr, control: FakeControl
) -> None:
    control.login, control.tokens = oidc(interval_s=0), [TOKENS]
    control.failures = [None, UnavailableError("gone")]
    assert flwr("login", *THERE).code == 0


def test_a_login_that_is_not_finished_in_time_is_an_error(
    flwr: Flwr, control: FakeControl, environment: Environment
) -> None:
    clock = environment.clock
    assert isinstance(clock, FakeClock)
    control.login = oidc()
    object.__setattr__(environment, "pause", lambda s: clock.advance(timedelta(seconds=s)))

    outcome = flwr("login", *THERE)

    assert outcome.code == 5
    assert "not finished within 60 s" in outcome.err
    assert len([call for call, _ in control.asked if call == "auth_tokens"]) == 13


@pytest.mark.parametrize("login", [None, oidc("noop")])
def test_a_superlink_without_accounts_says_so(
    flwr: Flwr, control: FakeControl, login: LoginDetails | None, tmp_path: Path
) -> None:
    control.login = login
    outcome = flwr("login", *THERE)
    assert outcome.code == 6
    assert "the SuperLink hub.example:9093 has no accounts" in outcome.err
    assert not (tmp_path / "home/credentials.yaml").exists()


def test_another_way_to_log_in_is_named(flwr: Flwr, control: FakeControl) -> None:
    control.login = oidc("saml")
    outcome = flwr("login", *THERE)
    assert outcome.code == 6
    assert "'saml'" in outcome.err


def test_nothing_is_asked_in_clear_text(flwr: Flwr, control: FakeControl) -> None:
    outcome = flwr("login", *HERE)
    assert outcome.code == 2
    assert "leave out --insecure (command line)" in outcome.err
    assert flwr("login", "local").code == 6  # and no local SuperLink is started for it
    assert control.asked == []


def test_logins_at_several_superlinks_are_kept_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "home" / "credentials.yaml"
    first, second = Login(path, "a:1"), Login(path, "b:1")
    assert first.load() is None
    first.save(TOKENS)
    second.save(Tokens("x", "y"))
    first.save(Tokens("new", "refresh"))
    assert (first.load(), second.load()) == (Tokens("new", "refresh"), Tokens("x", "y"))


@pytest.mark.parametrize(
    "text",
    ["- a list", "}", "flower.account-auth.a:1.authn-type: no base64!", "\x00"],
)
def test_a_file_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.yaml"
    path.write_text(text)
    with pytest.raises(CredentialsError, match=r"credentials\.yaml") as refusal:
        Login(path, "a:1").load()
    assert "log in again" in refusal.value.hint


def test_who_has_no_logins_needs_no_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    login = Login(tmp_path / "credentials.yaml", "a:1")
    assert login.load() is None
    with pytest.raises(CredentialsError, match="PyYAML is not installed"):
        login.save(TOKENS)


def test_tokens_are_not_shown_by_accident() -> None:
    assert "access" not in repr(TOKENS)
