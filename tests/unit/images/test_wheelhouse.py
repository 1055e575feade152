"""images/wheelhouse.py: locks are read whole, and the wheelhouse holds just what they name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from images import wheelhouse
from scripts.debian import SetupError

WHEEL = b"a wheel"
DIGEST = hashlib.sha256(WHEEL).hexdigest()
OTHER = hashlib.sha256(b"of another machine").hexdigest()
LOCK = f"""# Made by a test
First_Package==1.0 \\
    --hash=sha256:{OTHER} \\
    --hash=sha256:{DIGEST}
second==2.0 --hash=sha256:{OTHER}
"""


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "requirements"
    folder.mkdir()
    monkeypatch.setattr(wheelhouse, "REQUIREMENTS", folder)
    return folder


def test_a_lock_is_read_with_every_hash() -> None:
    first, second = wheelhouse.read_lock(LOCK)

    assert (first.name, first.version) == ("first_package", "1.0")
    assert first.hashes == {OTHER, DIGEST}
    assert second.hashes == {OTHER}


def test_a_pin_without_a_hash_is_refused() -> None:
    with pytest.raises(SetupError, match="pins second without a hash"):
        wheelhouse.read_lock(f"first==1 --hash=sha256:{OTHER}\nsecond==2.0\n")


def test_locks_that_disagree_are_refused(requirements: Path) -> None:
    (requirements / "a.lock").write_text(f"one==1.0 --hash=sha256:{OTHER}\n")
    (requirements / "b.lock").write_text(f"one==1.1 --hash=sha256:{OTHER}\n")

    with pytest.raises(SetupError, match=r"b\.lock pins one 1\.1, another lock 1\.0"):
        wheelhouse.merge_locks([*requirements.glob("*.lock")])


def test_a_complete_wheelhouse_needs_no_pip(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (requirements / "a.lock").write_text(f"one==1.0 --hash=sha256:{DIGEST}\n")
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "one.whl").write_bytes(WHEEL)
    (folder / "stranger.whl").write_bytes(b"no lock names it")
    monkeypatch.setattr(wheelhouse, "download", pytest.fail)

    assert wheelhouse.fetch(folder, "x86_64") == 0
    assert [file.name for file in folder.iterdir()] == ["one.whl"]


def test_only_what_is_missing_is_fetched(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (requirements / "a.lock").write_text(
        f"one==1.0 --hash=sha256:{DIGEST}\ntwo==2.0 --hash=sha256:{OTHER}\n"
    )
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "one.whl").write_bytes(WHEEL)
    asked: list[str] = []

    def download(what: Sequence[str], place: Path, architecture: str) -> None:
        assert (place, architecture) == (folder, "aarch64")
        asked.append(Path(what[-1]).read_text())

    monkeypatch.setattr(wheelhouse, "download", download)

    assert wheelhouse.fetch(folder, "aarch64") == 1
    assert asked == [f"two==2.0 --hash=sha256:{OTHER}\n"]


def test_wheels_are_asked_for_the_images_python_and_every_c_library() -> None:
    options = wheelhouse.platform_options("aarch64")

    assert options[:2] == ["--python-version=3.13", "--implementation=cp"]
    for level in ("2_17", "2_28", "2_41"):
        assert f"--platform=manylinux_{level}_aarch64" in options
    assert not any("x86_64" in option or "manylinux1" in option for option in options)


def test_a_machine_without_pip_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheelhouse, "_runs", lambda _: False)

    with pytest.raises(SetupError, match="has no pip") as raised:
        wheelhouse.find_pip()
    assert "apt-get install python3-pip" in raised.value.remedy


@pytest.mark.parametrize(
    ("said", "cause", "remedy"),
    [
        (
            "WARNING: x\nERROR: No matching distribution found for docopt==0.6.2\n",
            "No matching distribution found for docopt==0.6.2",
            "has a wheel for Python 3.13",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "DO NOT MATCH THE HASHES", "other files"),
        ("", "pip failed", "reaches its index"),
    ],
)
def test_a_failure_of_pip_becomes_cause_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, cause: str, remedy: str
) -> None:
    pip = tmp_path / "pip"
    pip.write_text(f"#!/bin/sh\ncat >&2 <<'X'\n{said}\nX\nexit 1\n")
    pip.chmod(0o755)
    monkeypatch.setattr(wheelhouse, "find_pip", lambda: [str(pip)])

    with pytest.raises(SetupError, match=cause) as raised:
        wheelhouse.download(["anything"], tmp_path, "x86_64")
    assert remedy in raised.value.remedy


def test_the_committed_locks_agree_with_each_other_and_with_the_constraints() -> None:
    root = wheelhouse.ROOT
    constrained = dict(
        line.lower().replace("_", "-").split("==")
        for line in (root / "constraints.txt").read_text().split()
    )

    for pin in wheelhouse.merge_locks([*wheelhouse.REQUIREMENTS.glob("*.lock")]):
        name = pin.name.replace("_", "-")
        assert constrained.get(name, pin.version) == pin.version


def test_no_image_has_a_package_in_two_layers() -> None:
    names = {
        lock.stem: {pin.name for pin in wheelhouse.read_lock(lock.read_text())}
        for lock in wheelhouse.REQUIREMENTS.glob("*.lock")
    }

    for layers in (("crypto", "wire", "state", "postgres", "app"), ("crypto", "wire", "cli")):
        together = [name for layer in layers for name in names[layer]]
        assert sorted(together) == sorted(set(together))


def test_a_package_is_left_out_with_its_hashes() -> None:
    assert wheelhouse.without(LOCK, {"first_package"}) == (
        f"# Made by a test\nsecond==2.0 --hash=sha256:{OTHER}\n"
    )
    assert wheelhouse.without(LOCK, {"none"}) == LOCK
