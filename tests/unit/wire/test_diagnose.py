"""Every way in which a connection can fail is told apart, against real servers."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from flwr.auth.tls import ClientTls, ServerTls
from flwr.core.clock import SystemClock
from flwr.core.errors import ErrorKind, FlwrError
from flwr.wire import diagnose
from tests.fakes.certificates import Authority
from tests.fakes.rpc import byte_service, serving

AUTHORITY = Authority()
STRANGER = Authority("Stranger")


async def answer(_request: bytes, _rpc: Any) -> bytes:
    return b""


def explained(tls: ServerTls | None, trust: ClientTls | None, host: str = "127.0.0.1") -> FlwrError:
    async def ask() -> FlwrError:
        async with serving(byte_service("test.Test", {"Do": answer}), tls=tls) as server:
            address = f"{host}:{server.port}"
            return await asyncio.to_thread(diagnose.explain, address, trust)

    clock = SystemClock()
    started = clock.monotonic()
    error = asyncio.run(ask())
    assert clock.monotonic() - started < 60
    assert error.kind is ErrorKind.UNAVAILABLE
    assert "\n" not in error.message
    assert host in error.message
    assert error.hint
    return error


@pytest.mark.row("S29", "S30", "F19")
def test_a_certificate_of_a_stranger_is_the_wrong_authority() -> None:
    error = explained(STRANGER.issue(), AUTHORITY.client_tls)

    assert type(error) is diagnose.WrongCaError
    assert "--root-certificates" in error.hint


@pytest.mark.row("S29", "S30")
def test_public_authorities_do_not_vouch_for_a_private_certificate() -> None:
    assert type(explained(AUTHORITY.issue(), ClientTls())) is diagnose.WrongCaError


@pytest.mark.row("S29", "S30", "F19")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_for_another_host_is_named(host: str) -> None:
    tls = AUTHORITY.issue("superlink.example.org", "10.1.2.3")

    error = explained(tls, AUTHORITY.client_tls, host)

    assert type(error) is diagnose.WrongHostNameError
    assert repr(host) in error.message


@pytest.mark.row("S29", "S30", "F19")
def test_an_expired_certificate_is_told_from_one_not_yet_valid() -> None:
    day = timedelta(days=1)
    expired = explained(AUTHORITY.issue(since=-2 * day, until=-day), AUTHORITY.client_tls)
    early = explained(AUTHORITY.issue(since=day, until=2 * day), AUTHORITY.client_tls)

    assert type(expired) is diagnose.CertificateExpiredError
    assert type(early) is diagnose.CertificateNotYetValidError


@pytest.mark.row("S31")
def test_clear_text_against_tls_is_told_in_both_directions() -> None:
    wants_tls = explained(AUTHORITY.issue(), None)
    clear = explained(None, AUTHORITY.client_tls)

    assert type(wants_tls) is diagnose.ServerWantsTlsError
    assert "--insecure" in wants_tls.hint
    assert type(clear) is diagnose.ServerSpeaksClearTextError
    assert "--insecure" in clear.hint


def test_a_good_connection_is_said_to_be_good() -> None:
    over_tls = explained(AUTHORITY.issue(), AUTHORITY.client_tls)
    clear = explained(None, None)

    assert type(over_tls) is type(clear) is diagnose.NotServingError


def test_a_port_nobody_listens_on_is_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"

        assert type(diagnose.explain(address, None)) is diagnose.ConnectionRefusedByPeerError


def test_a_name_without_address_is_unresolvable() -> None:
    error = diagnose.explain("nowhere.invalid:9092", None)

    assert type(error) is diagnose.UnresolvableHostError


@contextmanager
def mute_server() -> Iterator[str]:
    """Accept connections and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    held.append(listener.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


@pytest.mark.parametrize("trust", [None, AUTHORITY.client_tls])
def test_a_server_that_says_nothing_times_out(
    trust: ClientTls | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "TLS_DIAGNOSIS", timedelta(seconds=0.5))
    monkeypatch.setattr(diagnose, "_MARGIN_S", 60)

    with mute_server() as address:
        assert type(diagnose.explain(address, trust)) is diagnose.HandshakeTimeoutError
