"""Base images: when they are made anew, what is refused, and that their tars are reproducible."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from images import bases, build_root, image_archive, run_root
from scripts import debian, engine_pieces
from scripts.debian import Distribution, Mirrors

EPOCH = 1_700_000_000


def key(**changed: object) -> str:
    asked: dict[str, object] = {
        "packages": ["a", "b"],
        "recipe": b"code",
        "architecture": "amd64",
        "epoch": EPOCH,
        **changed,
    }
    return bases.cache_key(**asked)  # type: ignore[arg-type]  # one mapping, four types


def test_a_package_list_may_carry_reasons() -> None:
    assert bases.read_packages("# why\nlibc6\n\n  zlib1g  # compression\n") == ["libc6", "zlib1g"]


@pytest.mark.parametrize("base", bases.BASES, ids=lambda base: base.role)
def test_package_lists_name_every_package_once(base: bases.Base) -> None:
    names = bases.read_packages(base.package_file.read_text())
    assert names
    assert len(names) == len(set(names))


def test_a_cache_key_depends_on_everything_that_goes_in() -> None:
    changes: list[dict[str, object]] = [
        {"packages": ["a"]},
        {"recipe": b"other"},
        {"architecture": "arm64"},
        {"epoch": EPOCH + 1},
    ]
    assert len({key(), *(key(**change) for change in changes)}) == 5


def test_a_cache_key_does_not_depend_on_the_order_of_packages() -> None:
    assert key(packages=["b", "a"]) == key()


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bases.Base, list[str]]:
    """Give a base whose recipe writes one file, and the list of what was done."""
    done: list[str] = []

    def recipe(packages: object, where: Mirrors, work: Path, out: Path, epoch: int) -> list[str]:
        done.append("made")
        out.write_bytes(b"tar")
        return ["python3 3.13 amd64"]

    monkeypatch.setattr(bases, "STATE", tmp_path)
    monkeypatch.setattr(bases, "check_machine", lambda: None)
    monkeypatch.setattr(bases, "architecture", lambda: "amd64")
    monkeypatch.setattr(debian, "mirrors", lambda: Mirrors("http://a.example/", None))
    monkeypatch.setattr(engine_pieces, "server_version", lambda: "26.1.5")
    loaded: dict[str, str] = {}

    def load(image: image_archive.Image, root: Path) -> None:
        done.append("loaded")
        loaded[image.name] = image.labels[bases.KEY_LABEL]

    monkeypatch.setattr(image_archive, "load", load)
    monkeypatch.setattr(image_archive, "label", lambda name, _: loaded.get(name))
    return bases.Base("run", recipe, Path(run_root.__file__), {}, ("python3",)), done


def test_a_second_call_does_nothing(quick: tuple[bases.Base, list[str]]) -> None:
    base, done = quick
    bases.make([base], force=False, out=None)
    bases.make([base], force=False, out=None)
    assert done == ["made", "loaded"]


def test_an_engine_that_lost_the_image_gets_the_kept_tar(
    quick: tuple[bases.Base, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, done = quick
    bases.make([base], force=False, out=None)
    monkeypatch.setattr(image_archive, "label", lambda *_: None)
    bases.make([base], force=False, out=None)
    assert done == ["made", "loaded", "loaded"]


def test_force_makes_it_anew(quick: tuple[bases.Base, list[str]]) -> None:
    base, done = quick
    bases.make([base], force=False, out=None)
    bases.make([base], force=True, out=None)
    assert done == ["made", "loaded", "made", "loaded"]


def test_another_folder_leaves_the_engine_alone(
    quick: tuple[bases.Base, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, done = quick
    monkeypatch.setattr(engine_pieces, "server_version", lambda: None)
    bases.make([base], force=False, out=tmp_path / "here")
    assert done == ["made"]
    tar = next((tmp_path / "here").glob("*.tar"))
    assert tar.with_suffix(".manifest").read_text() == "python3 3.13 amd64\n"


def test_what_a_killed_run_left_and_older_tars_are_removed(
    quick: tuple[bases.Base, list[str]], tmp_path: Path
) -> None:
    (tmp_path / "work-old").mkdir()
    (tmp_path / "base-run-trixie-000000000000.tar").touch()
    bases.make([quick[0]], force=False, out=None)
    assert not (tmp_path / "work-old").exists()
    assert len(list(tmp_path.glob("base-run-*.tar"))) == 1


def test_without_an_engine_it_says_how_to_start_one(
    quick: tuple[bases.Base, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engine_pieces, "server_version", lambda: None)
    assert bases.main(["make"]) == 3
    assert "engine.py up" in capsys.readouterr().err


def test_a_machine_that_is_not_debian_is_pointed_to_the_public_bases(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(debian, "distribution", lambda: Distribution("fedora", 42, ""))
    assert bases.main(["make"]) == 3
    said = capsys.readouterr().err
    assert "BUILD_BASE=" in said
    assert "RUN_BASE=" in said


def test_a_tar_depends_on_contents_owners_and_modes_alone(tmp_path: Path) -> None:
    for name, order in (("one", ("b", "a")), ("two", ("a", "b"))):
        root = tmp_path / name
        (root / "usr").mkdir(parents=True)
        for file in order:
            (root / "usr" / file).write_text(file)
        os.utime(root / "usr" / "a", (order == ("a", "b"), 5))
        run_root.pack(root, tmp_path / f"{name}.tar", EPOCH)
    first, second = (tmp_path / f"{name}.tar" for name in ("one", "two"))
    assert image_archive.digest(first) == image_archive.digest(second)
    with tarfile.open(first) as tar:
        assert tar.getnames() == [".", "./usr", "./usr/a", "./usr/b"]
        assert {entry.mtime for entry in tar} == {EPOCH}


def test_pruning_keeps_the_interpreter_and_utc(tmp_path: Path) -> None:
    kept = ("usr/bin/python3.13", "usr/share/zoneinfo/UTC", "usr/lib/python3.13/asyncio/base.py")
    gone = ("usr/bin/sh", "usr/share/zoneinfo/Europe/Paris", "usr/lib/python3.13/idlelib/x.py")
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    run_root.prune(tmp_path)
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert [name for name in gone if (tmp_path / name).exists()] == []


def test_an_image_archive_has_one_layer_and_a_fixed_date(tmp_path: Path) -> None:
    root = tmp_path / "root.tar"
    root.write_bytes(b"layer")
    image = image_archive.Image("n:t", "amd64", {"PATH": "/bin"}, {"k": "v"}, ("sh",), EPOCH)
    written = [io.BytesIO(), io.BytesIO()]
    for to in written:
        image_archive.write(image, root, to)
    assert written[0].getvalue() == written[1].getvalue()
    with tarfile.open(fileobj=io.BytesIO(written[0].getvalue())) as archive:
        listing = json.load(archive.extractfile("manifest.json") or io.BytesIO())[0]
        config = (archive.extractfile(listing["Config"]) or io.BytesIO()).read()
    assert listing["RepoTags"] == ["n:t"]
    assert listing["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    told = json.loads(config)
    assert told["created"] == "2023-11-14T22:13:20Z"
    assert told["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(b'layer').hexdigest()}"]
    assert told["config"]["Env"] == ["PATH=/bin"]


def test_nothing_of_this_machine_is_asked_to_stay_in_the_build_base(tmp_path: Path) -> None:
    command = build_root.command(["python3-venv"], tmp_path, tmp_path / "out.tar")
    hooks = [part for part in command if part.startswith("--customize-hook=")]
    assert any("rm -f" in hook and "sources.list.d" in hook for hook in hooks)
    assert any("99mmdebstrap" in hook for hook in hooks)
    assert "deb.debian.org" in build_root.SOURCES_INSIDE
