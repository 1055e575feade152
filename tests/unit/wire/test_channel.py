"""Addresses of clients."""

import pytest

from flwr.wire.channel import AddressError, client_address, split_address


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("0.0.0.0:9092", "127.0.0.1:9092"),
        ("[::]:9092", "[::1]:9092"),
        ("superlink:9092", "superlink:9092"),
        (" 10.0.0.1:1 ", "10.0.0.1:1"),
        ("[fd00::1]:65535", "[fd00::1]:65535"),
    ],
)
def test_a_servers_address_becomes_one_that_clients_can_use(given: str, used: str) -> None:
    assert client_address(given) == used


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":9092", "host:http", "host:70000", "https://host:9092", "::1:9092"],
)
def test_anything_else_is_refused_with_the_wanted_form(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        split_address(text)
    assert "HOST:PORT" in caught.value.hint
