"""What may stand in a certificate or a key list, and what is refused with a reason."""

import pytest
from certs.errors import PkiError
from certs.names import SERVER_NAMES, host_name, server_names, site_name, site_names
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("Hub.Example", "hub.example"),
        ("hub.example.", "hub.example"),
        ("hub", "hub"),
        ("*.hub.example", "*.hub.example"),
        ("flwr_superlink", "flwr_superlink"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8::0007", "2001:db8::7"),
    ],
)
def test_host_names_and_addresses_get_one_form(given_name: str, kept: str) -> None:
    assert host_name(given_name) == kept


@pytest.mark.parametrize(
    "garbage",
    [
        "", ".", "a..b", "-a.example", "a-.example", "hub.example:9092", "https://hub.example",
        "[::1]", "hub example", "hub/example", "10.0.0.300", "1.2.3", "a" * 64, "a." * 127 + "ab",
        "*", "a.*.example", "hub.example\n", "hub\0", "0.0.0.0", "::",  # noqa: S104 - refused here
        "fe80::1%eth0",
    ],
)  # fmt: skip
def test_what_no_certificate_can_carry_is_refused(garbage: str) -> None:
    with pytest.raises(PkiError) as refused:
        host_name(garbage)
    assert refused.value.hint


def test_a_name_with_other_letters_is_shown_in_the_form_that_works() -> None:
    with pytest.raises(PkiError) as refused:
        host_name("bücher.example")
    assert "xn--bcher-kva.example" in refused.value.hint
    with pytest.raises(PkiError):
        host_name("ü" * 300)


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        kept = host_name(text)
    except PkiError:
        return
    assert kept.isascii()
    assert host_name(kept) == kept


def test_names_are_split_and_given_once() -> None:
    assert server_names(["a.example, b.example", "A.example", "::1"]) == [
        *SERVER_NAMES,
        "a.example",
        "b.example",
    ]
    assert server_names([]) == list(SERVER_NAMES)


def test_site_names_are_one_word_and_differ() -> None:
    assert site_names("hospital-a, lab_2") == ["hospital-a", "lab_2"]
    for wrong in ("a b", "", "-a", "a" * 64, "ü", "a\nssh-rsa AAAA"):
        with pytest.raises(PkiError):
            site_name(wrong)
    with pytest.raises(PkiError, match="twice"):
        site_names("a,a")
