"""What a Debian machine tells about itself: suite, mirrors, locks."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from scripts import debian
from scripts.debian import Distribution, Mirrors, SetupError

BOOKWORM = (
    'PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'
)
TARGETS = """\
http://mirror.example/debian/ bookworm
http://mirror.example/debian/ bookworm-updates
http://mirror.example/debian-security/ bookworm-security
https://vendor.example/apt/ nodistro
http://mirror.example/debian/ trixie
"""


def ending_with(message: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import sys; sys.exit({message!r})"]


def test_an_os_release_file_names_the_suite() -> None:
    assert debian.parse_os_release(BOOKWORM) == Distribution("debian", 12, "bookworm")


@pytest.mark.parametrize(
    ("distro", "newer"),
    [
        (Distribution("debian", 12, "bookworm"), True),
        (Distribution("debian", 13, "trixie"), False),
        (Distribution("debian", 14, "forky"), False),
        (Distribution("debian", None, "sid"), False),
        (Distribution("ubuntu", 12, "precise"), False),
    ],
)
def test_only_an_older_debian_needs_the_next_suite(distro: Distribution, newer: bool) -> None:
    assert distro.needs_next_suite is newer


def test_an_os_release_file_may_say_nothing() -> None:
    assert debian.parse_os_release("# empty\n") == Distribution("unknown", None, "")


def test_mirrors_are_those_of_the_machines_own_suite() -> None:
    found = debian.parse_mirrors(TARGETS, "bookworm")
    assert found == Mirrors(
        "http://mirror.example/debian/", "http://mirror.example/debian-security/"
    )


def test_a_machine_without_security_mirror_gets_none() -> None:
    assert debian.parse_mirrors("http://m.example/ trixie\n", "trixie").security is None


def test_a_machine_without_sources_is_told_to_add_them() -> None:
    with pytest.raises(SetupError, match="own suite") as refusal:
        debian.parse_mirrors("https://vendor.example/apt/ nodistro\n", "bookworm")
    assert "apt-get update" in refusal.value.remedy


def test_a_machine_that_threw_its_indexes_away_fetches_them_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = ["", TARGETS]
    asked: list[Sequence[str]] = []
    monkeypatch.setattr(debian, "distribution", lambda: Distribution("debian", 12, "bookworm"))
    monkeypatch.setattr(debian, "is_root", lambda: True)
    monkeypatch.setattr(debian, "index_targets", lambda: told.pop(0))
    monkeypatch.setattr(debian, "run_apt", asked.append)
    assert debian.mirrors().archive == "http://mirror.example/debian/"
    assert asked == [["apt-get", "-qq", "update"]]


def test_sources_are_signed_by_debians_keys() -> None:
    lines = debian.source_lines(Mirrors("http://a.example/", "http://s.example/"), "trixie")
    keyring = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert lines.splitlines() == [
        f"deb {keyring} http://a.example/ trixie main",
        f"deb {keyring} http://s.example/ trixie-security main",
    ]


def test_a_taken_lock_is_told_from_other_failures() -> None:
    assert debian.is_locked("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by 7")
    assert debian.is_locked("dpkg: error: dpkg database lock was locked by another process: 248")
    assert not debian.is_locked("E: Unable to locate package docker.io")


def test_apt_is_asked_again_while_another_one_holds_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "LOCK_RETRY_S", 0.01)
    script = tmp_path / "apt.py"
    script.write_text(
        "import pathlib, sys\n"
        f"seen = pathlib.Path({str(tmp_path / 'seen')!r})\n"
        "if not seen.exists():\n"
        "    seen.touch()\n"
        "    sys.exit('E: Could not get lock /var/lib/apt/lists/lock')\n"
    )
    debian.run_apt([sys.executable, "-S", str(script)])
    assert (tmp_path / "seen").exists()


def test_a_failure_of_apt_is_told_with_its_last_lines() -> None:
    with pytest.raises(SetupError, match="No space left"):
        debian.run_apt(
            [sys.executable, "-S", "-c", "import sys; sys.exit('E: No space left on device')"]
        )


def test_a_lock_that_stays_taken_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "LOCK_WAIT_S", 0.0)
    with pytest.raises(SetupError, match="Could not get lock"):
        debian.run_apt(
            [sys.executable, "-S", "-c", "import sys; sys.exit('E: Could not get lock')"]
        )


def test_a_report_says_cause_and_next_step() -> None:
    assert SetupError("no disk", "buy one").report() == "error: no disk\n  next: buy one\n"
