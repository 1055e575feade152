"""Every refusal of the reader: nothing of a refused bundle reaches the disk."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.limits import MAX_FAB_BYTES, MAX_FAB_FILES
from flwr.fab.archive import check_paths
from flwr.fab.errors import FabInvalidError
from flwr.fab.install import install_fab
from flwr.fab.verify import hash_fab, verify_fab
from tests.unit.fab import given

pytestmark = pytest.mark.row("F30", "F31", "F32")


def refused(content: bytes, tmp_path: Path, **options: str) -> FlwrError:
    apps = tmp_path / "apps"
    with pytest.raises(FlwrError) as caught:
        install_fab(content, apps, **options)  # type: ignore[arg-type]
    assert list(tmp_path.rglob("*")) == []
    return caught.value


def special(name: str, mode: int) -> bytes:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    entries: list[tuple[str | zipfile.ZipInfo, bytes]] = [*given.FILES.items()]
    listed = given.content_list({**given.FILES, name: b"/etc/passwd"})
    return given.archive([*entries, (info, b"/etc/passwd"), (".info/CONTENT", listed)])


def twice() -> bytes:
    buffer = io.BytesIO(given.fab())
    with zipfile.ZipFile(buffer, "a") as out, pytest.warns(UserWarning, match="Duplicate"):
        out.writestr("tiny/__init__.py", b"evil = 1")
    return buffer.getvalue()


def overlapping() -> bytes:
    """Make two entries share one local header."""
    content = given.fab({"a.py": b"x", "b.py": b"x"})
    data = bytearray(content.replace(b"b.py", b"a.py"))
    first = data.index(b"PK\x01\x02")
    while data[first + 46 : first + 50] != b"a.py":
        first = data.index(b"PK\x01\x02", first + 1)
    second = data.index(b"PK\x01\x02", first + 1)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    return bytes(data)


@pytest.mark.parametrize(
    "path",
    [
        "../evil.py",
        "a/../../evil.py",
        "/etc/evil.py",
        "C:/evil.py",
        "C:evil.py",
        "a\\evil.py",
        "\\\\host\\share",
        "a//b.py",
        "./a.py",
        "a/",
        "a\nb.py",
        "a\x1b[31m.py",
        "a.py ",
        "con./a.py",
        "a:stream",
        "x" * 300 + ".py",
        "/".join("abcdefghijklm") + ".py",
    ],
)
def test_a_path_that_leaves_or_means_something_else_elsewhere_is_refused(
    path: str, tmp_path: Path
) -> None:
    assert refused(given.fab({path: b"x"}), tmp_path).kind is ErrorKind.INVALID


def test_a_nul_in_a_path_is_refused(tmp_path: Path) -> None:
    content = given.fab({"aXb.py": b"x"}).replace(b"aXb.py", b"a\x00b.py")
    assert "is not allowed" in refused(content, tmp_path).message


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["A.py", "a.py"], "beside 'A.py'"),
        (["ﬁ.py", "fi.py"], "beside"),
        (["a.py", "a.py/b.py"], "lies below a file"),
        (["a/B", "A/b/c"], "lies below a file"),
        (["a", "a"], "twice"),
        ([""], "not allowed"),
    ],
)
def test_paths_that_collide_on_some_file_system_are_refused(paths: list[str], why: str) -> None:
    with pytest.raises(FabInvalidError, match=why):
        check_paths(paths)


@pytest.mark.parametrize(
    "mode",
    [stat.S_IFLNK | 0o777, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR],
)
def test_links_devices_and_directories_are_refused(mode: int, tmp_path: Path) -> None:
    assert "not a regular file" in refused(special("tiny/x.py", mode), tmp_path).message


def test_duplicate_names_are_refused(tmp_path: Path) -> None:
    assert "twice" in refused(twice(), tmp_path).message


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    error = refused(overlapping(), tmp_path)
    assert "overlaps" in error.message or "twice" in error.message


def test_entries_sharing_packed_bytes_are_refused(tmp_path: Path) -> None:
    """Make the first file's packed bytes reach over the second's header."""
    content = given.fab({"tiny/__init__.py": b"0123456789"}, method=zipfile.ZIP_DEFLATED)
    packed = len(zlib.compress(b"0123456789"))
    grown = given.patched(content, "tiny/__init__.py", 20, "<L", packed + 40)
    assert "overlaps" in refused(grown, tmp_path).message


def test_a_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    bomb = given.fab({"a.json": b"0" * 110_000_000}, method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000
    error = refused(bomb, tmp_path)
    assert error.kind is ErrorKind.TOO_LARGE
    assert "expands to 110000" in error.message


def test_a_bomb_that_lies_about_its_size_is_refused_while_expanding(tmp_path: Path) -> None:
    bomb = given.fab({"a.json": b"0" * 110_000_000}, method=zipfile.ZIP_DEFLATED)
    liar = given.patched(bomb, "a.json", 24, "<L", 1000)
    assert "larger than it declares" in refused(liar, tmp_path).message


@pytest.mark.timeout(10)
def test_a_million_entries_are_refused_by_their_count(tmp_path: Path) -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 5_000_000, 0, 0)
    many = b"PK\x01\x02" + b"\0" * 4_999_996 + end
    error = refused(many, tmp_path)
    assert error.kind is ErrorKind.TOO_LARGE
    assert str(MAX_FAB_FILES) in error.message


def test_a_file_above_the_packed_limit_is_refused(tmp_path: Path) -> None:
    assert refused(b"P" * (MAX_FAB_BYTES + 1), tmp_path).kind is ErrorKind.TOO_LARGE


def test_a_nested_archive_is_only_bytes(tmp_path: Path) -> None:
    content = given.fab({"inner.json": given.fab()})
    assert (install_fab(content, tmp_path).path / "inner.json").read_bytes() == given.fab()


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (lambda files: given.content_list({**files, "ghost.py": b""}), "listed but absent"),
        (lambda files: given.content_list(dict(list(files.items())[:-1])), "not in the list"),
        (lambda files: given.content_list({**files, "tiny/__init__.py": b"evil"}), "in size"),
        (lambda files: given.content_list(files).replace(b"a", b"b", 1), "is listed|hash|in the"),
        (lambda files: given.content_list(files) + b"\n\n", "bad line"),
        (lambda files: given.content_list(files) + b"7", "bad line|in size"),
        (lambda _: b"\xff\xfe", "no text"),
    ],
)
def test_a_dishonest_list_of_contents_is_refused(
    listed: Callable[[dict[str, bytes]], bytes], why: str, tmp_path: Path
) -> None:
    error = refused(given.fab(listed=listed(dict(given.FILES))), tmp_path)
    assert any(part in error.message for part in why.split("|"))


def test_a_changed_file_of_equal_length_is_refused(tmp_path: Path) -> None:
    honest = given.content_list(given.FILES)
    error = refused(given.fab({"tiny/client_app.py": b"app = 9\n"}, listed=honest), tmp_path)
    assert "differs from its hash" in error.message


def test_nothing_but_the_list_may_lie_in_the_info_folder(tmp_path: Path) -> None:
    assert ".info" in refused(given.fab({".info/x.py": b""}), tmp_path).message


@pytest.mark.parametrize("missing", ["pyproject.toml", ".info/CONTENT"])
def test_a_bundle_without_its_two_fixed_files_is_refused(missing: str, tmp_path: Path) -> None:
    files = {**given.FILES, ".info/CONTENT": b"x"}
    del files[missing]
    assert f"has no {missing}" in refused(given.archive([*files.items()]), tmp_path).message


@pytest.mark.parametrize(
    "damage",
    [
        lambda fab: fab[:-1],
        lambda fab: fab + b"x",
        lambda fab: b"x" + fab,
        lambda _: b"",
        lambda fab: given.patched(fab, "tiny/client_app.py", 8, "<H", 1),
        lambda fab: given.patched(fab, "tiny/client_app.py", 10, "<H", 12),
        lambda fab: given.patched(fab, "tiny/client_app.py", 16, "<L", 7),
        lambda fab: given.patched(fab, "tiny/client_app.py", 20, "<L", 2**32 - 1),
        lambda fab: given.patched(fab, "tiny/client_app.py", 42, "<L", 2**32 - 1),
        lambda fab: given.patched(fab, "tiny/client_app.py", 42, "<L", 0),
    ],
    ids=["cut", "tail", "head", "empty", "encrypted", "method", "crc", "packed", "offset", "other"],
)
def test_a_damaged_archive_is_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert refused(damage(given.fab()), tmp_path).kind is ErrorKind.INVALID


def test_damaged_compressed_bytes_are_refused(tmp_path: Path) -> None:
    content = bytearray(given.fab({"a.md": b"hello " * 100}, method=zipfile.ZIP_DEFLATED))
    at = content.index(b"a.md") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    assert refused(bytes(content), tmp_path).kind is ErrorKind.INVALID


def test_a_component_outside_the_bundle_is_refused(tmp_path: Path) -> None:
    text = given.PYPROJECT.replace("tiny.server_app:app", "os:system")
    error = refused(given.fab({"pyproject.toml": text.encode()}), tmp_path)
    assert "the app has no module 'os'" in error.message


def test_the_full_hash_is_compared_not_a_prefix(tmp_path: Path) -> None:
    content = given.fab()
    wanted = hash_fab(content)[:8] + "0" * 56
    assert wanted in refused(content, tmp_path, expected_hash=wanted).message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_honest_bundle_passes_stored_or_deflated(method: int) -> None:
    fab = verify_fab(given.fab(method=method))
    assert set(fab.contents) == set(given.FILES)


def test_a_bundle_of_builders_before_1_28_passes(tmp_path: Path) -> None:
    listed = {path: data for path, data in given.FILES.items() if path != "pyproject.toml"}
    content = given.fab(listed=given.content_list(listed) + b"\n")

    installed = install_fab(content, tmp_path)

    assert (installed.path / "pyproject.toml").read_text() == given.PYPROJECT
