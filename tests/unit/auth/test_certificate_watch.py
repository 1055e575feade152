import os
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.auth.certificate_watch import CertificateWatch
from flwr.auth.certificates import self_signed
from flwr.auth.tls import TlsFiles
from flwr.core.errors import InvalidError
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


def test_a_broken_replacement_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    watch = CertificateWatch(write(tmp_path, clock), clock)
    watch.load()
    (tmp_path / "c").write_text("half a file")
    with pytest.raises(InvalidError):
        watch.renewed()
    assert watch.renewed() is None  # told once


def test_a_certificate_that_ends_soon_is_told(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    CertificateWatch(write(tmp_path, clock, days=20), clock).load()
    (said,) = caplog.records
    assert said.__dict__["event"] == "certificate-expires"
    assert said.__dict__["days"] == 20
