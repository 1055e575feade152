import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.auth.tls import self_signed
from flwr.core.errors import InvalidError
from flwr.superlink.certificates import CertificateWatch, own_certificate, own_secret
from flwr.superlink.config import TlsFiles
from tests.fakes.clock import FakeClock


def write(folder: Path, clock: FakeClock, *, days: int = 90) -> TlsFiles:
    made = self_signed(["localhost"], valid_for=timedelta(days=days), now=clock.now())
    (folder / "c").write_bytes(made.certificate)
    (folder / "k").write_bytes(made.key)
    os.utime(folder / "c", ns=(clock.now().microsecond, days))
    return TlsFiles(certificate=folder / "c", key=folder / "k", ca=None)


@pytest.mark.row("F19", "F43")
def test_a_replaced_certificate_is_served_without_a_restart(
    tmp_path: Path, clock: FakeClock
) -> None:
    watch = CertificateWatch(write(tmp_path, clock), clock)
    first = watch.load()
    assert watch.renewed() is None

    write(tmp_path, clock, days=91)

    renewed = watch.renewed()
    assert renewed is not None
    assert renewed.certificate != first.certificate
    assert watch.renewed() is None


def test_a_broken_replacement_keeps_what_there_is(tmp_path: Path, clock: FakeClock) -> None:
    watch = CertificateWatch(write(tmp_path, clock), clock)
    (tmp_path / "c").write_text("half a file")
    assert watch.renewed() is None
    with pytest.raises(InvalidError):
        watch.load()


@pytest.mark.row("F6")
def test_the_link_to_our_own_superexec_keeps_its_trust_over_a_restart(
    tmp_path: Path, clock: FakeClock
) -> None:
    run_dir = tmp_path / "run"
    first, root = own_certificate(run_dir, "127.0.0.1", now=clock.now())
    again, _ = own_certificate(run_dir, "127.0.0.1", now=clock.now())
    assert again.certificate == first.certificate
    assert root.read_bytes() == first.certificate

    clock.advance(timedelta(days=350))
    later, _ = own_certificate(run_dir, "127.0.0.1", now=clock.now())
    assert later.certificate != first.certificate


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
    with pytest.raises(InvalidError, match="superexec"):
        own_secret(tmp_path / "file" / "run")
