"""Which pieces of the toolchain are missing, and which packages bring them."""

import shutil
from collections.abc import Mapping

import pytest
from scripts import engine_pieces
from scripts.debian import Distribution, SetupError
from scripts.engine_pieces import Pieces, at_least, packages, version_in

BOOKWORM = Distribution("debian", 12, "bookworm")
TRIXIE = Distribution("debian", 13, "trixie")
NOBLE = Distribution("ubuntu", 24, "noble")
WHOLE: Mapping[str, str] = {
    "client": "28.2.2",
    "engine": "26.1.5",
    "compose": "2.26.1",
    "buildx": "0.13.1",
    "init": "0.19.0",
    "iptables": "1.8.9",
    "mmdebstrap": "1.3.5",
}


def without(*names: str, **others: str) -> dict[str, str]:
    return {name: v for name, v in {**WHOLE, **others}.items() if name not in names}


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("Docker version 28.2.2, build e6534b4", "28.2.2"),
        ("2.26.1-4\n", "2.26.1"),
        ("v2.40.3", "2.40.3"),
        ("github.com/docker/buildx 0.13.1+ds1-3 0.13.1+ds1-3", "0.13.1"),
        ("docker: unknown command", None),
        ("", None),
    ],
)
def test_a_version_is_found_in_what_programs_print(printed: str, version: str | None) -> None:
    assert version_in(printed) == version


def test_versions_are_compared_as_numbers() -> None:
    assert at_least("2.26.1", (2, 24))
    assert at_least("2.100", (2, 24))
    assert at_least("25.0", (25,))
    assert not at_least("2.9.9", (2, 24))
    assert not at_least("24.0.9", (25,))


def test_nothing_lacks_on_a_whole_machine() -> None:
    assert Pieces(WHOLE, running=False, local=True).lacking(with_bases=True) == ()


def test_a_client_without_plugins_and_engine_lacks_those() -> None:
    found = Pieces({"client": "28.2.2"}, running=False, local=False)
    lacking = found.lacking(with_bases=True)
    assert lacking == ("engine", "compose", "buildx", "init", "iptables", "mmdebstrap")


def test_pieces_that_are_too_old_lack() -> None:
    found = without(engine="20.10.24", compose="2.20.3", buildx="0.11.2")
    lacking = Pieces(found, running=False, local=True).lacking(with_bases=False)
    assert lacking == ("engine", "compose", "buildx")


def test_an_engine_elsewhere_needs_only_its_client_here() -> None:
    found = Pieces(without("init", "iptables", "mmdebstrap"), running=True, local=False)
    assert found.lacking(with_bases=False) == ()


def test_half_an_installation_lacks_its_other_half() -> None:
    found = Pieces(without("init", "buildx"), running=False, local=True)
    assert found.lacking(with_bases=False) == ("buildx", "init")


def test_bookworm_takes_the_engine_from_the_next_suite_and_the_rest_from_its_own() -> None:
    wanted = packages(BOOKWORM, ("engine", "compose", "iptables"))
    assert wanted == ["docker.io/trixie", "containerd/trixie", "docker-compose/trixie", "iptables"]


def test_trixie_takes_everything_from_its_own_suite() -> None:
    assert packages(TRIXIE, ("engine", "buildx")) == ["docker.io", "containerd", "docker-buildx"]


def test_ubuntu_has_its_own_package_names() -> None:
    wanted = packages(NOBLE, ("client", "engine", "compose", "buildx"))
    assert wanted == ["docker.io", "docker-compose-v2", "docker-buildx"]


@pytest.mark.parametrize(
    ("distro", "apt", "root", "named"),
    [
        (Distribution("fedora", 42, ""), False, True, "vendor"),
        (Distribution("unknown", None, ""), False, True, "vendor"),
        (Distribution("debian", 11, "bullseye"), True, True, "Debian 12"),
        (BOOKWORM, True, False, "sudo"),
    ],
)
def test_a_machine_we_cannot_install_on_is_told_what_to_install(
    distro: Distribution, apt: bool, root: bool, named: str
) -> None:
    with pytest.raises(SetupError, match="buildx missing") as refusal:
        engine_pieces.check_supported(distro, apt=apt, root=root, lacking="buildx")
    assert named in refusal.value.remedy


@pytest.mark.parametrize("distro", [BOOKWORM, TRIXIE, NOBLE, Distribution("debian", None, "sid")])
def test_debian_and_ubuntu_are_supported_as_root(distro: Distribution) -> None:
    engine_pieces.check_supported(distro, apt=True, root=True, lacking="buildx")


def test_an_old_docker_of_its_vendor_is_left_to_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_pieces, "printed_by", lambda *_: "installed")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/dpkg-query")
    with pytest.raises(SetupError, match="docker-ce"):
        engine_pieces.refuse_other_vendor(("engine",))
    engine_pieces.refuse_other_vendor(("iptables",))
