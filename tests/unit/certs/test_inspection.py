"""`check`: what is wrong is named with what mends it."""

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from certs import authority
from certs.errors import PkiError
from certs.identities import new_node_key
from certs.inspection import Finding, Level, inspect_tree
from certs.names import SERVER_NAMES

from tests.unit.certs.conftest import NOW, Make, changed, content

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sets owners")


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_fresh_deployment_is_fine(make: Make, root: Path) -> None:
    make()

    result = inspect_tree(root, now=NOW)

    assert result.is_fine
    assert result.nodes == 2
    found = {c.path.removeprefix(f"{root}/"): c.days_left for c in result.certificates}
    assert found == {
        "ca/ca.crt": 3649,
        "superlink/server.crt": 396,
        "superlink/appio.crt": 3649,
        "supernode-1/appio.crt": 3649,
        "supernode-2/appio.crt": 3649,
    }
    assert "all is well" in result.text()
    assert result.facts()["certificates"][1]["days-left"] == 396


@pytest.mark.row("F19")
@pytest.mark.parametrize(
    ("after", "level", "cause"),
    [
        (366, None, ""),
        (367, Level.EXPIRING, "expires in 29 days"),
        (396, Level.EXPIRING, "expires in 0 days"),
        (397, Level.BROKEN, "expired 1 days ago"),
    ],
)
def test_days_left_are_counted_against_the_limit(
    make: Make, root: Path, after: int, level: Level | None, cause: str
) -> None:
    make()

    result = inspect_tree(root, now=NOW + timedelta(days=after), warn_days=30)

    if level is None:
        assert result.is_fine
        return
    finding = only(result.findings)
    assert (finding.level, finding.cause) == (level, cause)
    assert finding.path.endswith("server.crt")
    assert finding.remedy == f"pki.py renew-server --out {root}"


def test_an_expiring_ca_has_another_remedy(make: Make, root: Path) -> None:
    make()

    result = inspect_tree(root, now=NOW + timedelta(days=3640))

    (ca,) = (f for f in result.findings if f.path.endswith("ca/ca.crt"))
    assert "--force" in ca.remedy


def test_a_clock_behind_is_told_from_a_bad_certificate(make: Make, root: Path) -> None:
    make()

    result = inspect_tree(root, now=NOW - timedelta(days=1))

    assert {f.remedy for f in result.findings} == {"set this machine's clock by NTP"}


@pytest.mark.parametrize(
    ("spoil", "where", "cause"),
    [
        ("superlink/server.key", "server.key", "is not the key of server.crt"),
        ("ca/ca.key", "ca.key", "is not the key of ca.crt"),
        ("supernode-1/node.key", "node.pub", "is not the public half of node.key"),
        ("supernode-2/ca.crt", "supernode-2/ca.crt", "differs from"),
        ("clientapp-1/superexec-secret", "superexec-secret", "differs from"),
        ("superlink/server.crt", "server.crt", "was not issued by"),
    ],
)
def test_what_does_not_belong_together_is_named(
    make: Make, root: Path, spoil: str, where: str, cause: str
) -> None:
    make()
    stranger = authority.new_authority("stranger", now=NOW)
    replacement = {
        "server.key": stranger.key_pem,
        "ca.key": stranger.key_pem,
        "node.key": new_node_key(),
        "ca.crt": stranger.certificate_pem,
        "superexec-secret": b"another",
        "server.crt": stranger.certificate_pem,
    }
    (root / spoil).write_bytes(replacement[Path(spoil).name])

    findings = inspect_tree(root, now=NOW).findings

    assert any(f.path.endswith(where) and cause in f.cause for f in findings), findings


@pytest.mark.parametrize(
    "name",
    ["superlink/server.crt", "superlink/node-keys.pub", "supernode-1/node.key", "user/ca.crt",
     "clientapp-2/appio-ca.crt", "supernode-2/appio.key", "serverapp/superexec-secret"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["gone", "garbage", "binary", "empty", "folder"])
def test_no_spoilt_file_stops_the_look(make: Make, root: Path, name: str, how: str) -> None:
    make()
    (root / name).unlink()
    match how:
        case "garbage":
            (root / name).write_text("hello\n")
        case "binary":
            (root / name).write_bytes(bytes(range(256)))
        case "empty":
            (root / name).touch()
        case "folder":
            (root / name).mkdir()

    findings = inspect_tree(root, now=NOW).findings

    is_list_without_keys = name.endswith("node-keys.pub") and how == "empty"
    assert findings or is_list_without_keys
    assert all(finding.remedy for finding in findings)


def test_an_unlisted_node_is_told_with_the_command_that_lists_it(make: Make, root: Path) -> None:
    make()
    (root / "superlink" / "node-keys.pub").write_text("# none\n")

    findings = inspect_tree(root, now=NOW).findings

    assert [f.remedy for f in findings] == [
        f"pki.py add-node --out {root} {root}/supernode-{n}/node.pub" for n in (1, 2)
    ]


def test_a_name_that_an_earlier_version_did_not_give_is_told_with_what_adds_it(
    make: Make, root: Path
) -> None:
    make(hosts=[name for name in SERVER_NAMES if name != "simulation"] + ["hub.example"])
    others = {name: text for name, text in content(root).items() if "server." not in name}

    found = only(inspect_tree(root, now=NOW).findings)
    assert found.level is Level.INCOMPLETE
    assert "is not for simulation" in found.cause
    assert found.remedy == f"pki.py all --nodes 2 --out {root}"

    wrote = changed(make())
    assert wrote["superlink/server.crt"] == "names added: simulation"
    assert inspect_tree(root, now=NOW).is_fine
    assert {name: text for name, text in content(root).items() if "server." not in name} == others


def test_certificates_of_an_authority_elsewhere_have_the_names_it_chose(
    make: Make, root: Path
) -> None:
    make(hosts=["hub.example"])
    (root / "ca" / "ca.key").unlink()

    assert inspect_tree(root, now=NOW).is_fine


def test_keys_that_others_may_read_are_found(make: Make, root: Path) -> None:
    make()
    (root / "superlink" / "server.key").chmod(0o644)
    (root / "ca" / "ca.key").chmod(0o640)

    remedies = [f.remedy for f in inspect_tree(root, now=NOW).findings]

    assert remedies == [
        f"sudo chmod go= {root}/ca/ca.key",
        f"sudo chmod o= {root}/superlink/server.key",
    ]


@pytest.mark.row("S52")
@as_root
def test_files_containers_cannot_read_are_one_command_a_folder(make: Make, root: Path) -> None:
    make(names=())  # 0600, owned by the user

    findings = inspect_tree(root, now=NOW, reader=10001).findings

    assert [f.path for f in findings] == [f"{root}/superlink", f"{root}/serverapp"]
    assert "cannot read it" in findings[0].cause
    folder = f"{root}/superlink"
    assert findings[0].remedy == (
        f"sudo chown -R 0:10001 {folder} && sudo chmod -R u=rwX,g=rX,o= {folder}"
    )
    for finding in findings:
        subprocess.run(finding.remedy.replace("sudo ", ""), shell=True, check=True)  # noqa: S602
    assert inspect_tree(root, now=NOW, reader=10001).is_fine


@as_root
def test_a_folder_containers_cannot_enter_is_found(make: Make, root: Path) -> None:
    make(names=())
    for path in root.rglob("*"):
        os.chown(path, 0, 10001)
        path.chmod(0o750 if path.is_dir() else 0o640)
    (root / "serverapp").chmod(0o700)

    findings = [
        f for f in inspect_tree(root, now=NOW, reader=10001).findings if "/ca/" not in f.path
    ]

    assert only(findings).remedy == f"sudo chmod 755 {root}/serverapp"


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(PkiError) as refused:
        inspect_tree(tmp_path / "nowhere", now=NOW)
    assert refused.value.code == 4
    assert "make certs" in refused.value.hint
