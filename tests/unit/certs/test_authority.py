"""Certificates as other people's software sees them."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certs import authority
from certs.names import SERVER_NAMES
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from flwr.auth.certificates import load_server_tls
from flwr.auth.tls import TlsFiles

NOW = datetime(2031, 5, 4, 12, tzinfo=UTC)
CA = authority.new_authority("flwr-compose CA 00", now=NOW)
HOSTS = [*SERVER_NAMES, "hub.example", "192.0.2.7"]
SERVER = authority.issue(CA, "superlink", HOSTS, life=authority.SERVER_LIFE, now=NOW)


def test_the_authority_may_sign_end_certificates_and_nothing_else() -> None:
    found = CA.certificate.extensions
    constraints = found.get_extension_for_class(x509.BasicConstraints)
    usage = found.get_extension_for_class(x509.KeyUsage)

    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert CA.certificate.not_valid_after_utc - CA.certificate.not_valid_before_utc == timedelta(
        days=3650
    )
    assert authority.is_authority(CA.certificate)
    assert not authority.is_authority(SERVER.certificate)


def test_a_server_certificate_is_one_and_lives_no_longer_than_clients_accept() -> None:
    certificate = SERVER.certificate
    found = certificate.extensions

    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert list(found.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    assert found.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not found.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert (
        found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        == CA.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    )
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=397)
    assert authority.hosts_of(certificate) == HOSTS


def test_it_never_outlives_its_authority() -> None:
    late = NOW + timedelta(days=3600)

    issued = authority.issue(CA, "superlink", HOSTS, life=authority.SERVER_LIFE, now=late)

    assert issued.certificate.not_valid_after_utc == CA.certificate.not_valid_after_utc


@pytest.mark.parametrize("host", ["hub.example", "localhost"])
def test_a_strict_verifier_accepts_the_chain_for_its_names(host: str) -> None:
    def verify(name: str) -> int:
        verifier = PolicyBuilder().store(Store([CA.certificate])).time(NOW)
        return len(
            verifier.build_server_verifier(x509.DNSName(name)).verify(SERVER.certificate, [])
        )

    assert verify(host) == 2
    with pytest.raises(x509.verification.VerificationError):
        verify("elsewhere.example")


def test_openssl_accepts_the_chain_and_our_programs_the_files(tmp_path: Path) -> None:
    for name, pem in (
        ("ca.crt", CA.certificate_pem),
        ("server.crt", SERVER.certificate_pem),
        ("server.key", SERVER.key_pem),
    ):
        (tmp_path / name).write_bytes(pem)
    openssl = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime"]
    openssl += [str(int(NOW.timestamp())), "-verify_hostname", "hub.example"]
    openssl += ["-CAfile", str(tmp_path / "ca.crt"), str(tmp_path / "server.crt")]

    done = subprocess.run(openssl, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    files = TlsFiles(certificate=tmp_path / "server.crt", key=tmp_path / "server.key")
    assert load_server_tls(files, now=NOW).certificate == SERVER.certificate_pem


def test_another_authority_did_not_issue_it() -> None:
    other = authority.new_authority("flwr-compose CA 00", now=NOW)  # same name, another key

    assert authority.is_issued_by([SERVER.certificate], [other.certificate, CA.certificate])
    assert not authority.is_issued_by([SERVER.certificate], [other.certificate])


def test_days_are_counted_whole() -> None:
    end = SERVER.certificate.not_valid_after_utc

    assert authority.days_left(SERVER.certificate, now=NOW) == 396
    assert authority.days_left(SERVER.certificate, now=end - timedelta(hours=23)) == 0
    assert authority.days_left(SERVER.certificate, now=end + timedelta(seconds=1)) == -1


def test_the_fingerprint_is_what_openssl_prints() -> None:
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=CA.certificate_pem,
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert said.strip().endswith("=" + authority.fingerprint(CA.certificate))


def test_no_secret_shows_in_a_pairs_text() -> None:
    assert "key" not in repr(SERVER)
