"""A second site: its key is made there, one public line travels, the server takes it in."""

import subprocess
from pathlib import Path

import pytest
from certs.deployment import Deployment
from certs.errors import PkiError
from certs.identities import merge_lines, new_node_key, parse_list, parse_public_line
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from flwr.auth.node_keys import load_node_key, load_public_keys
from tests.unit.certs.conftest import NOW, Make, changed, content


def site(folder: Path, ca: Path | None, *, force: bool = False, name: str = "lab") -> Deployment:
    deployment = Deployment(folder, now=NOW)
    deployment.make_site(1, name, ca, force=force)
    return deployment


def public_key(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    form = (ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
    return key.public_key().public_bytes(*form).decode()


@pytest.mark.row("S52")
def test_a_site_has_what_its_containers_need_and_no_authority(
    make: Make, root: Path, tmp_path: Path
) -> None:
    make()

    site(tmp_path / "site", root / "user" / "ca.crt")

    assert set(content(tmp_path / "site")) == {
        ".gitignore", "ca/ca.crt", "ca/appio-supernode-1.crt", "ca/appio-supernode-1.key",
        "supernode-1/ca.crt", "supernode-1/node.key", "supernode-1/node.pub",
        "supernode-1/appio.crt", "supernode-1/appio.key", "supernode-1/superexec-secret",
        "clientapp-1/appio-ca.crt", "clientapp-1/superexec-secret",
    }  # fmt: skip


@pytest.mark.row("S33", "S36")
def test_the_line_a_site_sends_admits_its_key_once(make: Make, root: Path, tmp_path: Path) -> None:
    server = make()
    lab = site(tmp_path / "site", root / "user" / "ca.crt")
    sent = (tmp_path / "site" / "supernode-1" / "node.pub").read_text()

    line, is_new = server.add_node(sent, "mail")
    again, is_new_again = server.add_node(sent, "mail")

    assert (is_new, is_new_again) == (True, False)
    assert line == again == lab.node_line(1)
    listed = load_public_keys(root / "superlink" / "node-keys.pub")
    own = load_node_key(tmp_path / "site" / "supernode-1" / "node.key")
    assert listed[2:] == [own.public_pem]
    assert changed(make()) == {}  # `all` leaves it on the list


def test_a_site_keeps_its_key_and_gets_a_new_one_by_force(
    make: Make, root: Path, tmp_path: Path
) -> None:
    make()
    folder, ca = tmp_path / "site", root / "user" / "ca.crt"
    before = site(folder, ca).node_line(1)

    assert changed(site(folder, ca)) == {}
    assert changed(site(folder, None)) == {}
    forced = site(folder, None, force=True)
    assert forced.node_line(1).blob != before.blob
    assert {"supernode-1/node.key", "supernode-1/node.pub"} == set(changed(forced))


def test_a_new_ca_reaches_the_node_and_leaves_its_key(
    make: Make, root: Path, tmp_path: Path
) -> None:
    make()
    folder, ca = tmp_path / "site", root / "user" / "ca.crt"
    key = site(folder, ca).node_line(1)
    make(force=True)

    wrote = changed(site(folder, ca))

    assert wrote == {"ca/ca.crt": "another CA than before", "supernode-1/ca.crt": "copy"}
    assert site(folder, None).node_line(1) == key


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("superlink/server.crt", "no authority"),
        ("ca/ca.key", "holds a private key"),
        ("supernode-1/node.pub", "no PEM certificate"),
        ("nowhere", "does not exist"),
    ],
)
def test_only_an_authoritys_certificate_is_taken(
    make: Make, root: Path, tmp_path: Path, file: str, said: str
) -> None:
    make()
    with pytest.raises(PkiError, match=said):
        site(tmp_path / "site", root / file)
    assert not (tmp_path / "site" / "supernode-1").exists()


def test_a_site_without_a_ca_is_told_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(PkiError) as refused:
        site(tmp_path / "site", None)
    assert "--ca" in refused.value.hint


def test_a_servers_folder_is_not_given_another_ca(make: Make, root: Path, tmp_path: Path) -> None:
    make()
    other = Deployment(tmp_path / "other", now=NOW)
    other.make_all(hosts=None, names=[])

    with pytest.raises(PkiError, match="CA of its own"):
        site(root, tmp_path / "other" / "user" / "ca.crt")


def test_a_site_is_no_server(make: Make, root: Path, tmp_path: Path) -> None:
    make()
    lab = site(tmp_path / "site", root / "user" / "ca.crt")

    with pytest.raises(PkiError, match="no server's files"):
        lab.add_node(str(lab.node_line(1)), "here")


def test_a_site_renews_its_own_link(make: Make, root: Path, tmp_path: Path) -> None:
    make()
    site(tmp_path / "site", root / "user" / "ca.crt")

    renewed = Deployment(tmp_path / "site", now=NOW)
    renewed.renew(None)

    assert set(changed(renewed)) == {"supernode-1/appio.crt", "supernode-1/appio.key"}
    with pytest.raises(PkiError, match="no certificates"):
        Deployment(tmp_path / "nothing", now=NOW).renew(None)


# -- what is taken for a public key -----------------------------------------------------------

P384 = public_key(ec.generate_private_key(ec.SECP384R1()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no public key"),
        ("# a comment\n\n", "holds no public key"),
        (f"{P384}\n{P384}\n", "holds 2 lines"),
        ("ecdsa-sha2-nistp384 AAAA", "no OpenSSH public key"),
        (P384[:-20], "no OpenSSH public key"),
        ("hello", "no OpenSSH public key"),
        (new_node_key().decode(), "PRIVATE key"),
        (public_key(ed25519.Ed25519PrivateKey.generate()), "P-384"),
        (public_key(ec.generate_private_key(ec.SECP521R1())), "secp521r1"),
        (f"{P384} a\x1b[31mb", "no line of a key list"),
        (f"{P384} {'x' * 1000}", "no line of a key list"),
        (f'command="rm" {P384}', "no OpenSSH public key"),
    ],
    ids=[
        *("empty", "comment-only", "two-keys", "half-a-key", "cut-off", "no-key", "private"),
        *("ed25519", "p-521", "escape-in-comment", "long-comment", "with-options"),
    ],
)
def test_what_is_no_nodes_public_key_is_refused(text: str, said: str) -> None:
    with pytest.raises(PkiError, match=said):
        parse_public_line(text, "it")


def test_p256_and_p384_are_taken_with_and_without_a_comment() -> None:
    p256 = public_key(ec.generate_private_key(ec.SECP256R1()))

    assert parse_public_line(f"{p256}\r\n", "it").comment == ""
    assert parse_public_line(f"# from a\n{P384} St. Mary's, ward 3\n", "it").comment == (
        "St. Mary's, ward 3"
    )


def test_a_key_of_ssh_keygen_works(make: Make, root: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    keygen = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-C", "hand", "-f"]
    subprocess.run([*keygen, str(key)], check=True)
    server = make()

    line, _ = server.add_node(key.with_suffix(".pub").read_text(), "it")

    assert line.comment == "hand"
    private = root / "supernode-1" / "node.key"
    private.write_bytes(key.read_bytes())
    make()
    assert {known.blob for known in make().listed()} == {
        line.blob,
        server.node_line(2).blob,
    }  # the key that was replaced by hand is off the list


def test_a_list_keeps_what_people_wrote_into_it() -> None:
    line = parse_public_line(f"{P384} a", "it")
    text = f"# my sites\n\n{P384} old-name\n# the end"

    merged = merge_lines(text, [line], set())

    assert merged == f"# my sites\n\n{P384} a\n# the end\n"
    assert parse_list(merged, "it") == [line]
    assert merge_lines(merged, [], {line.blob}) == "# my sites\n\n# the end\n"


def test_a_spoilt_list_is_named_by_line_and_left_alone(make: Make, root: Path) -> None:
    server = make()
    listing = root / "superlink" / "node-keys.pub"
    listing.write_text("# one\nhello\n")

    with pytest.raises(PkiError, match="line 2"):
        server.add_node(P384, "it")
    assert listing.read_text() == "# one\nhello\n"
