"""`all`: complete, repeatable, safe to interrupt."""

import fcntl
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certs import authority
from certs.deployment import Deployment
from certs.errors import PkiError
from certs.inspection import inspect_tree
from certs.layout import Layout
from certs.names import SERVER_NAMES, server_names
from certs.storage import Storage

from flwr.auth.node_keys import fingerprint, load_node_key, load_public_keys
from flwr.auth.superexec_auth import load_secret
from tests.unit.certs.conftest import NOW, Make, changed, content

SERVER_FILES = {
    "ca/ca.crt", "ca/ca.key", "ca/appio-superlink.crt", "ca/appio-superlink.key",
    "superlink/ca.crt", "superlink/server.crt", "superlink/server.key", "superlink/node-keys.pub",
    "superlink/appio.crt", "superlink/appio.key", "superlink/superexec-secret",
    "serverapp/appio-ca.crt", "serverapp/superexec-secret", "user/ca.crt", ".gitignore",
}  # fmt: skip


def site_files(number: int) -> set[str]:
    node = {"ca.crt", "node.key", "node.pub", "appio.crt", "appio.key", "superexec-secret"}
    return (
        {f"supernode-{number}/{name}" for name in node}
        | {f"clientapp-{number}/{name}" for name in ("appio-ca.crt", "superexec-secret")}
        | {f"ca/appio-supernode-{number}.{suffix}" for suffix in ("crt", "key")}
    )


@pytest.mark.row("S52")
def test_every_container_gets_its_own_folder(make: Make, root: Path) -> None:
    make()

    assert set(content(root)) == SERVER_FILES | site_files(1) | site_files(2)
    assert (root / ".gitignore").read_text() == "*\n"


def test_a_second_run_changes_nothing(make: Make, root: Path) -> None:
    make(names=("hospital-a", ""))
    before = content(root)
    stamps = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}

    assert changed(make()) == {}
    assert content(root) == before
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_more_nodes_are_added_to_what_is_there(make: Make, root: Path) -> None:
    make()
    before = content(root)

    added = make(names=("", "", ""))

    assert set(changed(added)) == site_files(3) | {"superlink/node-keys.pub"}
    after = content(root)
    assert {k: after[k] for k in before if not k.endswith("node-keys.pub")} == {
        k: v for k, v in before.items() if not k.endswith("node-keys.pub")
    }
    assert len(load_public_keys(root / "superlink" / "node-keys.pub")) == 3


def test_fewer_nodes_take_nothing_away(make: Make, root: Path) -> None:
    make()
    before = content(root)

    assert changed(make(names=())) == {}
    assert content(root) == before


@pytest.mark.row("S33")
def test_the_superlink_reads_the_list_and_a_node_its_key(make: Make, root: Path) -> None:
    deployment = make(names=("hospital-a", "hospital-b"))

    listed = load_public_keys(root / "superlink" / "node-keys.pub")
    own = [load_node_key(root / f"supernode-{n}" / "node.key") for n in (1, 2)]
    assert listed == [key.public_pem for key in own]
    assert [key.private.curve.name for key in own] == ["secp256r1", "secp256r1"]
    assert deployment.node_line(2).fingerprint == fingerprint(listed[1]) == own[1].fingerprint
    assert deployment.node_line(2).comment == "hospital-b"


def test_ssh_keygen_prints_the_same_fingerprint(make: Make, root: Path) -> None:
    deployment = make()
    public = root / "supernode-1" / "node.pub"

    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(public)], capture_output=True, text=True, check=True
    ).stdout
    assert said.split()[1] == deployment.node_line(1).fingerprint


def test_both_ends_of_a_link_share_secret_and_trust(make: Make, root: Path) -> None:
    make()
    for daemon, executor in (("superlink", "serverapp"), ("supernode-2", "clientapp-2")):
        assert load_secret(root / daemon / "superexec-secret") == load_secret(
            root / executor / "superexec-secret"
        )
        (leaf,) = authority.load_certificates(root / daemon / "appio.crt")
        trusted = authority.load_certificates(root / executor / "appio-ca.crt")
        assert authority.is_issued_by([leaf], trusted)
    secrets = {p.read_bytes() for p in root.rglob("superexec-secret")}
    assert len(secrets) == 3  # one a link
    assert all(len(secret) == 64 for secret in secrets)


def test_a_links_trust_is_good_for_that_link_alone(make: Make, root: Path) -> None:
    make()
    (leaf,) = authority.load_certificates(root / "supernode-1" / "appio.crt")
    for other in ("user/ca.crt", "serverapp/appio-ca.crt", "clientapp-2/appio-ca.crt"):
        assert not authority.is_issued_by([leaf], authority.load_certificates(root / other))


# -- names of the server certificate ----------------------------------------------------------


def hosts(root: Path) -> list[str]:
    return authority.hosts_of(authority.load_certificates(root / "superlink" / "server.crt")[0])


def test_given_names_join_the_built_in_ones(make: Make, root: Path) -> None:
    make(hosts=server_names(["hub.example,192.0.2.7"]))

    assert hosts(root) == [*SERVER_NAMES, "hub.example", "192.0.2.7"]


def test_other_names_give_a_new_server_certificate_and_say_so(make: Make, root: Path) -> None:
    make(hosts=server_names(["old.example"]))
    node_key = (root / "supernode-1" / "node.key").read_bytes()

    wrote = changed(make(hosts=server_names(["new.example"])))

    why = "names added: new.example; names gone: old.example"
    assert wrote == {"superlink/server.key": why, "superlink/server.crt": why}
    assert "old.example" not in hosts(root)
    assert (root / "supernode-1" / "node.key").read_bytes() == node_key


def test_without_names_those_of_the_certificate_stay(make: Make, root: Path) -> None:
    make(hosts=server_names(["hub.example"]))

    assert changed(make()) == {}
    assert "hub.example" in hosts(root)


# -- force ------------------------------------------------------------------------------------


def test_force_makes_everything_anew_but_keeps_keys_that_came_from_elsewhere(
    make: Make, root: Path, tmp_path: Path
) -> None:
    make()
    foreign = Deployment(tmp_path / "site", now=NOW)
    foreign.make_site(1, "hospital-z", root / "user" / "ca.crt")
    make().add_node(str(foreign.node_line(1)), "the site")
    (root / "superlink" / "database-url").write_text("postgresql://...")
    before = content(root)
    folders = {p: p.stat().st_ino for p in root.iterdir() if p.is_dir()}

    make(force=True)

    after = content(root)
    kept = {".gitignore", "superlink/database-url"}
    assert {name for name in before if after[name] == before[name]} == kept
    listed = make().listed()
    assert [line.comment for line in listed] == ["hospital-z", "supernode-1", "supernode-2"]
    assert {p: p.stat().st_ino for p in folders} == folders  # mounts of containers stay alive


# -- interruption -----------------------------------------------------------------------------


@pytest.mark.parametrize("stopped_after", range(1, 36))
def test_an_interrupted_run_is_completed_by_the_next(
    make: Make, root: Path, stopped_after: int
) -> None:
    storage = Interrupted(root, stopped_after)
    with pytest.raises(KeyboardInterrupt):
        Deployment(root, now=NOW, storage=storage).make_all(hosts=None, names=("", ""))

    make()

    assert set(content(root)) == SERVER_FILES | site_files(1) | site_files(2)
    assert_consistent(root)


@pytest.mark.parametrize("stopped_after", range(1, 36, 3))
def test_an_interrupted_force_is_completed_by_the_next(
    make: Make, root: Path, stopped_after: int
) -> None:
    make()
    with pytest.raises(KeyboardInterrupt):
        Deployment(root, now=NOW, storage=Interrupted(root, stopped_after)).make_all(
            hosts=None, names=("", ""), force=True
        )

    make()

    assert set(content(root)) == SERVER_FILES | site_files(1) | site_files(2)
    assert_consistent(root)


class Interrupted(Storage):
    """Is stopped in the middle of the n-th file: half of it lies in the temporary file."""

    def __init__(self, root: Path, stopped_after: int) -> None:
        super().__init__(root, is_superuser=False)
        self._left = stopped_after

    def write(self, path: Path, content: bytes, why: str) -> None:
        self._left -= 1
        if self._left == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f".{path.name}.new").write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt
        super().write(path, content, why)


def assert_consistent(root: Path) -> None:
    layout = Layout(root)
    ca = authority.load_certificates(layout.ca.certificate)
    for files in (layout.ca, layout.server, *(link.identity for link in layout.links())):
        pair = authority.find_pair(files)
        assert pair
        assert pair.is_matching
    assert authority.is_issued_by(authority.load_certificates(layout.server.certificate), ca)
    keys = [load_node_key(root / f"supernode-{n}" / "node.key").public_pem for n in (1, 2)]
    assert sorted(load_public_keys(layout.node_list)) == sorted(keys)
    copies = {p.read_bytes() for p in root.rglob("ca.crt")}
    assert len(copies) == 1


def test_an_empty_file_counts_as_missing(make: Make, root: Path) -> None:
    make()
    for name in ("supernode-1/node.key", "superlink/server.key", "serverapp/superexec-secret"):
        (root / name).write_bytes(b"")

    make()

    assert_consistent(root)


def test_a_key_that_cannot_be_read_is_not_replaced(make: Make, root: Path) -> None:
    make()
    key = root / "supernode-1" / "node.key"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nnot ours to judge\n")

    with pytest.raises(PkiError, match=r"supernode-1/node\.key"):
        make()
    assert "not ours to judge" in key.read_text()


def test_two_runs_at_once_wait_for_each_other(make: Make, root: Path) -> None:
    make()
    descriptor = os.open(root, os.O_RDONLY)
    with Storage(root).opened(), pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


# -- the CA's key may lie elsewhere -----------------------------------------------------------


def test_without_the_cas_key_nodes_can_be_added_but_nothing_issued(make: Make, root: Path) -> None:
    make()
    (root / "ca" / "ca.key").unlink()

    assert changed(make(names=("", "", "")))
    with pytest.raises(PkiError, match="CA's key") as refused:
        make(hosts=server_names(["hub.example"]))
    assert "put the key back" in refused.value.hint


def test_certificates_of_another_authority_are_used_as_they_are(make: Make, root: Path) -> None:
    """RSA, by way of an intermediate authority, without our built-in names."""
    for folder in ("ca", "superlink"):
        (root / folder).mkdir(parents=True)
    company = root.parent
    request = "req -x509 -newkey rsa:2048 -nodes -days 9"
    is_ca = "-addext basicConstraints=critical,CA:TRUE"
    by_root = "-CA certs/ca/ca.crt -CAkey root.key"
    for_hub = "-addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:hub.example"
    to_server = "-keyout certs/superlink/server.key -out certs/superlink/server.crt"
    steps = (
        f"{request} -subj /CN=company -keyout root.key -out certs/ca/ca.crt {is_ca}",
        f"{request} -subj /CN=between -keyout mid.key -out mid.crt {is_ca} {by_root}",
        f"{request} -subj /CN=hub {to_server} {for_hub} -CA mid.crt -CAkey mid.key",
    )
    for step in steps:
        subprocess.run(["openssl", *step.split()], cwd=company, check=True, capture_output=True)
    chain = root / "superlink" / "server.crt"
    chain.write_bytes(chain.read_bytes() + (company / "mid.crt").read_bytes())
    before = content(root)
    now = datetime.now(UTC)

    make(now=now)

    assert {name: content(root)[name] for name in before} == before
    with pytest.raises(PkiError, match="CA's key"):
        make(now=now, hosts=["hub.example", "new.example"])
    assert inspect_tree(root, now=now, warn_days=5).is_fine


def test_a_lost_ca_certificate_is_never_replaced_behind_the_sites_backs(
    make: Make, root: Path
) -> None:
    make()
    (root / "ca" / "ca.crt").unlink()

    with pytest.raises(PkiError, match="is gone") as refused:
        make()
    assert "cp " in refused.value.hint


def test_a_foreign_ca_key_is_told(make: Make, root: Path) -> None:
    make()
    stranger = authority.new_authority("other", now=NOW)
    (root / "ca" / "ca.key").write_bytes(stranger.key_pem)

    with pytest.raises(PkiError, match="is not the key of"):
        make(hosts=server_names(["hub.example"]))


# -- renewal ----------------------------------------------------------------------------------


def test_a_server_certificate_with_few_days_left_is_renewed_by_the_next_run(make: Make) -> None:
    make()

    assert changed(make(now=NOW + timedelta(days=366))) == {}
    wrote = changed(make(now=NOW + timedelta(days=367)))
    assert set(wrote) == {"superlink/server.key", "superlink/server.crt"}
    assert wrote["superlink/server.crt"] == "29 days were left"


@pytest.mark.row("F19")
def test_renewal_changes_identities_and_nobodys_trust(make: Make, root: Path) -> None:
    make(hosts=server_names(["hub.example"]))
    before = content(root)

    renewed = Deployment(root, now=NOW)
    renewed.renew(None)

    pairs = ("superlink/server", "superlink/appio", "supernode-1/appio", "supernode-2/appio")
    after = content(root)
    assert {name for name in before if after[name] != before[name]} == {
        f"{pair}.{suffix}" for pair in pairs for suffix in ("crt", "key")
    }
    assert "hub.example" in hosts(root)
    assert_consistent(root)


def test_a_ca_at_its_end_issues_nothing_more(make: Make) -> None:
    make()

    with pytest.raises(PkiError, match="the CA itself has 10 days left") as refused:
        make(now=NOW + timedelta(days=3639))
    assert "--force" in refused.value.hint


# -- rights -----------------------------------------------------------------------------------


def modes(root: Path) -> dict[str, int]:
    return {name: (root / name).stat().st_mode & 0o777 for name in content(root)}


def test_private_files_are_their_owners_alone(make: Make, root: Path) -> None:
    make()

    for name, mode in modes(root).items():
        is_public = name.endswith((".crt", ".pub", ".gitignore"))
        assert mode == (0o644 if is_public else 0o600), name
    assert (root / "ca").stat().st_mode & 0o777 == 0o700


@pytest.mark.row("S52")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets owners")
def test_below_root_containers_read_their_secrets_and_nobody_the_cas_key(root: Path) -> None:
    Deployment(root, now=NOW).make_all(hosts=None, names=("",))

    for path in (p for p in root.rglob("*") if p.is_file()):
        found = path.stat()
        rights = (found.st_uid, found.st_gid, found.st_mode & 0o777)
        if path.suffix in {".crt", ".pub", ""} and path.name != "superexec-secret":
            assert rights == (0, 0, 0o644), path
        elif path.parent.name == "ca":
            assert rights == (0, 0, 0o600), path
        else:
            assert rights == (0, 10001, 0o640), path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets owners")
def test_a_later_run_as_root_sets_owners_right(make: Make, root: Path) -> None:
    make()
    before = content(root)
    (root / "superlink").chmod(0o700)
    (root / "superlink" / "database-url").write_text("postgresql://...")

    Deployment(root, now=NOW).make_all(hosts=None, names=("", ""))

    for name in ("server.key", "database-url"):
        found = (root / "superlink" / name).stat()
        assert (found.st_gid, found.st_mode & 0o777) == (10001, 0o640)
    assert (root / "superlink").stat().st_mode & 0o777 == 0o755
    assert {k: v for k, v in content(root).items() if k in before} == before
