import stat
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.auth.certificates import days_left
from flwr.auth.tls import TlsFileMissingError
from flwr.core.clock import SystemClock
from flwr.shell.appio import appio_security, check_appio, own_certificate, own_secret
from flwr.shell.daemon_settings import AppIoConfig
from flwr.shell.private_files import StateDirError
from flwr.supernode.config import load_config
from tests.fakes.clock import FakeClock


def config(*argv: str) -> AppIoConfig:
    return load_config(("--root-certificates", "system", *argv), env={})[0].appio


@pytest.mark.row("S28")
def test_the_link_to_our_own_superexec_is_encrypted_and_proven_by_default(tmp_path: Path) -> None:
    security = appio_security(config(), tmp_path, SystemClock())
    assert security.tls is not None
    assert security.root_certificates is not None
    assert security.root_certificates.read_bytes() == security.tls.ca
    assert security.verifier is not None
    assert security.secret is not None


def test_clear_text_still_needs_the_superexecs_proof(tmp_path: Path) -> None:
    security = appio_security(config("--appio-insecure"), tmp_path, SystemClock())
    assert security.tls is None
    assert security.verifier is not None


def test_in_process_isolation_a_secret_is_the_operators_choice(tmp_path: Path) -> None:
    security = appio_security(
        config("--appio-insecure", "--isolation", "process"), tmp_path, SystemClock()
    )
    assert security.secret is None
    assert security.verifier is None


@pytest.mark.row("F22")
def test_open_launches_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    appio_security(config("--appio-insecure"), tmp_path, SystemClock())
    assert not caplog.records
    appio_security(config("--appio-insecure", "--isolation", "process"), tmp_path, SystemClock())
    assert [vars(line)["event"] for line in caplog.records] == ["open-launches"]


def test_given_files_are_checked_before_a_port_opens(tmp_path: Path) -> None:
    given = config("--appio-certfile", "c", "--appio-keyfile", "k", "--appio-ca-certfile", "a")
    with pytest.raises(TlsFileMissingError):
        check_appio(given, SystemClock())


@pytest.mark.row("F6")
def test_the_link_to_our_own_superexec_keeps_its_trust_over_a_restart(
    tmp_path: Path, clock: FakeClock
) -> None:
    run_dir = tmp_path / "run"
    first, root = own_certificate(run_dir, "127.0.0.1", now=clock.now())
    again, _ = own_certificate(run_dir, "127.0.0.1", now=clock.now())
    assert again.certificate == first.certificate
    assert root.read_bytes() == first.certificate

    elsewhere, _ = own_certificate(run_dir, "10.0.0.1", now=clock.now())
    assert elsewhere.certificate != first.certificate  # it must name where it is met


@pytest.mark.row("F19")
def test_our_own_certificate_never_begins_a_life_with_little_time_left(
    tmp_path: Path, clock: FakeClock
) -> None:
    first, _ = own_certificate(tmp_path, "127.0.0.1", now=clock.now())
    clock.advance(timedelta(days=4 * 365))
    kept, _ = own_certificate(tmp_path, "127.0.0.1", now=clock.now())
    assert kept.certificate == first.certificate
    clock.advance(timedelta(days=2 * 365))
    renewed, _ = own_certificate(tmp_path, "127.0.0.1", now=clock.now())
    assert days_left(renewed.certificate, now=clock.now()) > 5 * 365


def test_secrets_are_readable_by_us_only(tmp_path: Path, clock: FakeClock) -> None:
    run_dir = tmp_path / "run"
    own_certificate(run_dir, "10.0.0.1", now=clock.now())
    secret = own_secret(run_dir)
    assert own_secret(run_dir).read_bytes() == secret.read_bytes()
    assert len(secret.read_bytes()) == 64
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
    for file in run_dir.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_unwritable_state_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateDirError, match="file"):
        own_secret(tmp_path / "file" / "run")
