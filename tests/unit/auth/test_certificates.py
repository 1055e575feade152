"""Certificate files: every mistake is told apart before a port opens."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from flwr.auth import tls
from flwr.auth.certificates import (
    days_left,
    load_client_tls,
    load_server_tls,
    self_signed,
    whole_days_left,
)
from flwr.auth.tls import TlsFiles
from tests.fakes.certificates import Authority, write_files

NOW = datetime.now(UTC)
AUTHORITY = Authority()


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return write_files(AUTHORITY.issue(now=NOW), tmp_path)


def test_good_files_load(files: TlsFiles) -> None:
    loaded = load_server_tls(files, now=NOW)

    assert loaded.certificate == files.certificate.read_bytes()
    assert loaded.ca == AUTHORITY.pem
    assert "key" not in repr(loaded)
    assert load_client_tls(files.ca, now=NOW) == AUTHORITY.client_tls
    assert load_client_tls(None, now=NOW) == tls.ClientTls(None)


@pytest.mark.parametrize("which", ["server.pem", "server.key", "ca.pem"])
def test_a_missing_file_is_named(files: TlsFiles, which: str) -> None:
    files.certificate.with_name(which).unlink()

    with pytest.raises(tls.TlsFileMissingError, match=which):
        load_server_tls(files, now=NOW)


@pytest.mark.parametrize("which", ["server.pem", "server.key", "ca.pem"])
def test_a_folder_in_place_of_a_file_is_unreadable(files: TlsFiles, which: str) -> None:
    files.certificate.with_name(which).unlink()
    files.certificate.with_name(which).mkdir()

    with pytest.raises(tls.TlsFileUnreadableError, match=which):
        load_server_tls(files, now=NOW)


@pytest.mark.parametrize("which", ["server.pem", "server.key", "ca.pem"])
def test_another_content_is_not_pem(files: TlsFiles, which: str) -> None:
    files.certificate.with_name(which).write_text("hello", encoding="utf-8")

    with pytest.raises(tls.TlsFileNotPemError, match=which):
        load_server_tls(files, now=NOW)


def test_a_foreign_key_does_not_match(files: TlsFiles) -> None:
    files.key.write_bytes(AUTHORITY.issue().key)

    with pytest.raises(tls.TlsKeyMismatchError, match="does not match"):
        load_server_tls(files, now=NOW)


@pytest.mark.row("F19")
def test_time_over_and_time_not_come_are_told_apart(files: TlsFiles) -> None:
    with pytest.raises(tls.TlsCertificateExpiredError):
        load_server_tls(files, now=NOW + timedelta(days=2))
    with pytest.raises(tls.TlsCertificateNotYetValidError):
        load_server_tls(files, now=NOW - timedelta(days=2))
    with pytest.raises(tls.TlsCertificateExpiredError):
        load_client_tls(files.ca, now=NOW + timedelta(days=60))


def test_days_left_counts_to_the_end() -> None:
    pem = AUTHORITY.issue(now=NOW, until=timedelta(days=3)).certificate

    assert days_left(pem, now=NOW) == pytest.approx(3, abs=0.001)
    assert whole_days_left(pem, now=NOW) == 2
    assert days_left(pem, now=NOW + timedelta(days=4)) == pytest.approx(-1, abs=0.001)


def test_a_self_signed_certificate_names_its_hosts(tmp_path: Path) -> None:
    made = self_signed(["localhost", "127.0.0.1"], valid_for=timedelta(days=1), now=NOW)
    certificate = x509.load_pem_x509_certificate(made.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1"]
    assert made.ca == made.certificate
    assert load_server_tls(write_files(made, tmp_path), now=NOW) == made


def test_a_runner_reads_whom_it_trusts_without_cryptography(files: TlsFiles) -> None:
    assert files.ca is not None
    assert tls.read_root_certificates(files.ca) == AUTHORITY.client_tls
    with pytest.raises(tls.TlsFileNotPemError):
        tls.read_root_certificates(files.key)
    with pytest.raises(tls.TlsFileMissingError):
        tls.read_root_certificates(files.ca.with_name("none.pem"))
