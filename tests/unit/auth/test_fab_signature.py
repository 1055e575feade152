"""Signatures of reviewed apps, against upstream's vector in both directions."""

from pathlib import Path

import pytest

from flwr.auth import fab_signature
from flwr.core.errors import ErrorKind
from flwr.core.ids import FabHash
from flwr.crypto import ed25519
from tests.unit.auth.vectors import VECTORS

VECTOR = VECTORS["fab_verification"]
ENTRY = VECTOR["verification_entry"]
FAB = FabHash(VECTOR["message_hex"][16:])
KEY = ed25519.private_key_from_seed(bytes.fromhex(VECTOR["ed25519_seed_hex"]))
TRUSTED = {"fpk_example": ed25519.parse_public_key(VECTOR["public_key_openssh"])}


def test_the_signed_message_and_the_entry_equal_upstreams() -> None:
    at = VECTOR["signed_at"]

    assert fab_signature.signed_message(FAB, at).hex() == VECTOR["message_hex"]
    assert fab_signature.sign_fab(KEY, FAB, signed_at=at) == ENTRY["fpk_example"]


def test_upstreams_entry_is_accepted() -> None:
    assert fab_signature.verify_fab(FAB, ENTRY, TRUSTED) == "fpk_example"


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"fpk_example": ENTRY["fpk_example"]},  # the licence was not checked
        {"valid_license": "", "fpk_example": ENTRY["fpk_example"]},
        {"valid_license": "Valid"},
        {"valid_license": "Valid", "fpk_stranger": ENTRY["fpk_example"]},
        {"valid_license": "Valid", "fpk_example": "{}"},
        {"valid_license": "Valid", "fpk_example": "["},
        {"valid_license": "Valid", "fpk_example": '{"signature": "é", "signed_at": -1}'},
        {"valid_license": "Valid", "fpk_example": ENTRY["fpk_example"].replace("400", "401")},
    ],
)
def test_anything_less_is_not_trusted(entries: dict[str, str]) -> None:
    with pytest.raises(fab_signature.UntrustedFabError) as caught:
        fab_signature.verify_fab(FAB, entries, TRUSTED)
    assert caught.value.kind is ErrorKind.DENIED


def test_a_signature_for_another_bundle_is_not_trusted() -> None:
    with pytest.raises(fab_signature.UntrustedFabError, match="no trusted entity signed it"):
        fab_signature.verify_fab(FabHash("ab" * 32), ENTRY, TRUSTED)


def test_trusted_entities_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "trusted.yaml"
    path.write_text(f"fpk_example: {VECTOR['public_key_openssh']}\n", encoding="utf-8")

    trusted = fab_signature.load_trusted_entities(path)

    assert fab_signature.verify_fab(FAB, ENTRY, trusted) == "fpk_example"


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "fpk_x: ssh-rsa AAAA\n", "a: [\n"])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trusted.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(fab_signature.TrustedEntitiesError, match=r"trusted\.yaml"):
        fab_signature.load_trusted_entities(path)
