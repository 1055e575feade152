"""TLS, node keys and what happens when they do not match."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.harness.apps import TINY, config, quick
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import eventually
from tests.harness.tap import Tap
from tests.harness.toolset import OURS, ROOT


def other_ca(folder: Path) -> Path:
    pki = [sys.executable, str(ROOT / "certs" / "pki.py"), "all", "--nodes", "1"]
    subprocess.run([*pki, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder / "user" / "ca.crt"


def reissue(certs: Path, *, host: str = "localhost", days: tuple[int, int] = (-1, 30)) -> None:
    """Replace the server certificate by one of the same CA with other names or dates."""
    key = serialization.load_pem_private_key(
        (certs / "superlink" / "server.key").read_bytes(), None
    )
    ca_key = serialization.load_pem_private_key((certs / "ca" / "ca.key").read_bytes(), None)
    ca = x509.load_pem_x509_certificate((certs / "ca" / "ca.crt").read_bytes())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(host)]
    if host == "localhost":
        names.append(x509.IPAddress(ip_address("127.0.0.1")))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (certs / "superlink" / "server.crt").write_bytes(pem)


def cli_to(federation: Federation, *trust: str) -> str:
    done = federation.flwr("ls", "--superlink", federation.control, *trust, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    return done.stdout + done.stderr


def node_to(federation: Federation, *trust: str) -> str:
    node = federation.start(
        "stray-node",
        OURS,
        "flower-supernode",
        "--superlink",
        federation.fleet,
        "--clientappio-api-address",
        "127.0.0.1:0",
        *trust,
    )
    assert node.wait() == 3, node.output
    return node.output


@contextmanager
def shaking_hands(address: str, certs: Path) -> Iterator[None]:
    """Show the server certificate at ``address``, whatever its dates, as ours refuses to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = certs / "superlink"
    context.load_cert_chain(server / "server.crt", server / "server.key")
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as listener:

        def serve() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller, suppress(OSError), context.wrap_socket(caller, server_side=True):
                    pass

        threading.Thread(target=serve, daemon=True).start()
        yield
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.row("S29", "S30", "S31")
def test_the_wrong_ca_is_named(secured: Federation, tmp_path: Path) -> None:
    secured.start_superlink()
    trust = ["--root-certificates", str(other_ca(tmp_path / "other"))]
    for said in (cli_to(secured, *trust), node_to(secured, *trust)):
        assert "was not issued by the given authority" in said


@pytest.mark.row("S29", "S30")
def test_the_wrong_host_name_is_named(secured: Federation) -> None:
    reissue(secured.certs, host="elsewhere.example")
    secured.start_superlink()
    trust = ["--root-certificates", str(secured.ca)]
    for said in (cli_to(secured, *trust), node_to(secured, *trust)):
        assert "is not for host '127.0.0.1'" in said


@pytest.mark.row("S31")
def test_tls_against_clear_text_names_the_mismatch(federation: Federation) -> None:
    federation.start_superlink()
    trust = ["--root-certificates", str(federation.ca)]
    for said in (cli_to(federation, *trust), node_to(federation, *trust)):
        assert "--insecure" in said


@pytest.mark.row("S31")
def test_clear_text_against_tls_names_the_mismatch(secured: Federation) -> None:
    secured.start_superlink()
    for said in (cli_to(secured, "--insecure"), node_to(secured, "--insecure")):
        assert "--root-certificates" in said
        assert "TLS" in said


@pytest.mark.row("S29", "S30")
def test_an_expired_certificate_is_named_by_server_and_clients(secured: Federation) -> None:
    reissue(secured.certs, days=(-30, -1))
    security = [
        "--ssl-ca-certfile",
        str(secured.ca),
        "--ssl-certfile",
        str(secured.certs / "superlink" / "server.crt"),
        "--ssl-keyfile",
        str(secured.certs / "superlink" / "server.key"),
    ]
    link = secured.start("superlink", OURS, "flower-superlink", *security)
    assert link.wait() == 2
    assert "expired" in link.output

    trust = ["--root-certificates", str(secured.ca)]
    with (
        shaking_hands(secured.control, secured.certs),
        shaking_hands(secured.fleet, secured.certs),
    ):
        for said in (cli_to(secured, *trust), node_to(secured, *trust)):
            assert "has expired" in said
            assert "not issued by" not in said


@pytest.mark.row("S31")
@pytest.mark.parametrize("program", ["flower-superlink", "flower-supernode"])
def test_no_certificate_and_no_insecure_is_refused(federation: Federation, program: str) -> None:
    started = federation.start(program, OURS, program)

    assert started.wait() == 2
    assert "--insecure" in started.output
    assert "--ssl-certfile" in started.output or "--root-certificates" in started.output


@pytest.mark.row("S33", "S35", "F26")
def test_only_listed_keys_get_in_and_strangers_are_logged(secured: Federation) -> None:
    listed = secured.certs / "superlink" / "node-keys.pub"
    listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:3]))  # a comment first
    superlink = secured.start_superlink(node_auth=True)
    secured.start_node(1, keyed=True)
    stranger = secured.start_node(3, keyed=True)
    secured.await_nodes(1)

    assert stranger.wait() == 5, stranger.output
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(secured.node_key(3).with_suffix(".pub"))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    eventually(lambda: fingerprint in superlink.output, timeout=30)
    statuses = sorted(
        n["status"] for n in secured.flwr_json("supernode", "list", CONNECTION)["nodes"]
    )
    assert statuses == ["online", "registered"]


@pytest.mark.row("S34")
def test_without_a_list_any_node_is_accepted_with_a_warning(federation: Federation) -> None:
    superlink = federation.start_superlink()
    federation.start_node(1)
    federation.await_nodes(1)

    assert '"level": "warning"' in superlink.output
    assert "any SuperNode" in superlink.output


@pytest.mark.row("S36")
def test_nodes_are_registered_and_unregistered_while_everything_runs(
    secured: Federation,
) -> None:
    (secured.certs / "superlink" / "node-keys.pub").write_text("# none yet\n")
    secured.start_superlink(node_auth=True)
    ids = []
    for number in (1, 2):
        key = str(secured.node_key(number).with_suffix(".pub"))
        ids.append(secured.flwr_json("supernode", "register", key, CONNECTION)["node-id"])
    nodes = [secured.start_node(n, keyed=True) for n in (1, 2)]
    secured.await_nodes(2)
    run_id = secured.submit(TINY, *config(num_rounds=50, pause=0.5))
    secured.await_log(run_id, "[ROUND 2/")

    secured.flwr("supernode", "unregister", str(ids[1]), CONNECTION)

    assert nodes[1].wait() == 5, nodes[1].output
    assert nodes[0].is_alive
    secured.flwr("stop", run_id, CONNECTION)


@pytest.mark.row("S37")
def test_bad_node_config_fails_at_start(federation: Federation) -> None:
    node = federation.start(
        "node", OURS, "flower-supernode", "--insecure", "--node-config", "partition-id"
    )
    assert node.wait() == 2
    assert "key=value" in node.output


@pytest.mark.row("S30", "S31")
@pytest.mark.parametrize(
    "tls",
    [pytest.param(True, id="tls"), pytest.param(False, marks=pytest.mark.long, id="insecure")],
)
def test_what_a_tap_on_the_wire_sees_is_what_was_chosen(tmp_path: Path, tls: bool) -> None:
    """With TLS nothing of a payload; with --insecure all of it, which shows that the tap works."""
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink()
        with Tap(federation.fleet) as tap:
            federation.fleet = tap.address
            federation.start_node(1)
            federation.start_node(2)
            federation.await_nodes(2)
            run_id = federation.submit(TINY, *quick(marker="WIRE-MARK"))
            assert federation.await_end(run_id)["status"] == "finished:completed"
            captured = tap.captured

    assert len(captured) > 10_000
    assert (b"WIRE-MARK" in captured) is not tls
    assert (b"tiny/client_app.py" in captured) is not tls  # out of the bundle


@pytest.mark.row("S30")
def test_payloads_and_tokens_never_cross_the_wire_in_clear(secured: Federation) -> None:
    """Every listener of the link and of the node answers TLS; none accepts clear text."""
    secured.start_superlink()
    for address in (secured.fleet, secured.control, secured.serverappio):
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            answer = b""
            with suppress(ConnectionResetError):
                answer = plain.recv(100)
        assert b"\0\0" not in answer[:3] or answer[:1] == b"\x15", "no HTTP/2 in clear text"


@pytest.mark.row("F19")
def test_every_port_shows_a_renewed_certificate_without_a_restart(secured: Federation) -> None:
    secured.start_superlink()
    reissue(secured.certs)
    renewed = (secured.certs / "superlink" / "server.crt").read_text()
    ports = (secured.fleet, secured.control)
    eventually(lambda: {shown_at(port) for port in ports} == {renewed}, timeout=60)


def shown_at(address: str) -> str:
    """Return the certificate that a port shows, as PEM."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")
