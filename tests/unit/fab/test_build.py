import base64
import json
import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from flwr.core.errors import InvalidError
from flwr.core.limits import MAX_FAB_BYTES
from flwr.core.origin import Origin
from flwr.fab.build import build_fab
from flwr.fab.errors import AppBuildError, AppEntryError, FabTooLargeError
from flwr.fab.verify import verify_fab
from tests.unit.fab import given

VECTOR = json.loads((Path(__file__).parent / "vector.json").read_text())


def with_app_keys(*lines: str) -> dict[str, str]:
    section = "[tool.flwr.app]\n"
    return {"pyproject.toml": given.PYPROJECT.replace(section, section + "\n".join(lines) + "\n")}


def kept(folder: Path) -> tuple[str, ...]:
    return build_fab(folder).listing.kept


def dropped(folder: Path) -> dict[str, str]:
    return {each.path: each.why for each in build_fab(folder).listing.dropped}


@pytest.mark.row("S44")
def test_the_bundle_equals_upstreams_byte_for_byte(tmp_path: Path) -> None:
    for name, text in VECTOR["input_files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    built = build_fab(tmp_path)

    assert built.content == base64.b64decode(VECTOR["fab_base64"])
    assert built.fab_hash == VECTOR["fab_sha256"]
    assert built.file_name == VECTOR["file_name"]
    assert built.manifest.fab_id == VECTOR["fab_id"]


@pytest.mark.row("S44")
def test_building_again_gives_the_same_hash_whatever_the_times_and_modes(tmp_path: Path) -> None:
    first = build_fab(given.app(tmp_path / "a")).fab_hash
    other = given.app(tmp_path / "b")
    for path in other.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o755)

    assert build_fab(other).fab_hash == first


@pytest.mark.row("S44")
def test_the_listing_says_why_each_file_is_dropped(tmp_path: Path) -> None:
    given.app(
        tmp_path,
        {
            ".gitignore": "*.secret.py\n",
            "tiny/a.secret.py": "",
            "tiny/test_x.py": "",
            "tiny/__pycache__/x.py": "",
            "data.csv": "1",
            ".venv/lib/x.py": "",
            "inner/pyproject.toml": "",
            "README.md": "# hi",
        },
    )
    (tmp_path / "link.py").symlink_to(tmp_path / "README.md")

    assert kept(tmp_path) == (
        *("README.md", "tiny/__init__.py", "tiny/client_app.py", "tiny/server_app.py"),
    )
    assert dropped(tmp_path) == {
        ".gitignore": "type not bundled",
        ".venv/": "never bundled",
        "data.csv": "type not bundled",
        "inner/pyproject.toml": "only the root pyproject.toml is bundled",
        "link.py": "not a regular file",
        "tiny/__pycache__/": "never bundled",
        "tiny/a.secret.py": "matched by .gitignore",
        "tiny/test_x.py": "test",
    }


def test_the_users_connections_never_enter_the_bundle(tmp_path: Path) -> None:
    text = given.PYPROJECT + '\n[tool.flwr.federations.x]\naddress = "secret.example:9093"\n'
    built = build_fab(given.app(tmp_path, {"pyproject.toml": text}))

    inside = zipfile.ZipFile(BytesIO(built.content)).read("pyproject.toml").decode()
    assert "federations" not in inside
    assert (tmp_path / "pyproject.toml").read_text() == text  # the user's file is left alone


def test_an_include_narrows_and_an_exclude_removes(tmp_path: Path) -> None:
    given.app(
        tmp_path,
        {
            **with_app_keys('fab-include = ["tiny/**", "conf/*"]', 'fab-exclude = ["conf/b.yaml"]'),
            "conf/a.yaml": "",
            "conf/b.yaml": "",
            "notes.md": "",
        },
    )
    assert "conf/a.yaml" in kept(tmp_path)
    assert "conf/b.yaml" not in kept(tmp_path)
    assert dropped(tmp_path)["notes.md"] == "not matched by fab-include"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('fab-include = ["tiny/**", "absent/*"]', "'absent/\\*' matches no file"),
        ('fab-exclude = ["absent/*"]', "fab-exclude pattern 'absent/\\*' matches no file"),
        ('fab-include = ["tiny/**", "*.csv"]', "reaches 'data.csv', which cannot be bundled"),
    ],
)
def test_a_pattern_must_reach_something_that_can_be_bundled(
    tmp_path: Path, line: str, why: str
) -> None:
    given.app(tmp_path, {**with_app_keys(line), "data.csv": "1"})
    with pytest.raises(AppBuildError, match=why):
        build_fab(tmp_path)


def test_a_component_left_out_of_the_bundle_is_named(tmp_path: Path) -> None:
    given.app(tmp_path, with_app_keys('fab-exclude = ["tiny/client_app.py"]'))
    with pytest.raises(AppEntryError, match=r"no module 'tiny\.client_app'"):
        build_fab(tmp_path)


def test_a_bundle_above_the_limit_names_its_largest_files(tmp_path: Path) -> None:
    given.app(tmp_path)
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate(MAX_FAB_BYTES)
    with pytest.raises(FabTooLargeError, match=r"largest: big\.json \(10485760 bytes\)"):
        build_fab(tmp_path)


def test_a_file_below_too_many_directories_is_an_error(tmp_path: Path) -> None:
    given.app(tmp_path, {"/".join("abcdefghijk") + "/x.py": ""})
    with pytest.raises(AppBuildError, match="more than 10 directories deep"):
        build_fab(tmp_path)


def test_a_folder_without_a_project_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as caught:
        build_fab(tmp_path)
    assert "flwr new" in caught.value.hint


def test_format_version_one_needs_the_licence_inside(tmp_path: Path) -> None:
    files = with_app_keys("fab-format-version = 1", 'flwr-version-target = "1.29.0"')
    files["pyproject.toml"] = files["pyproject.toml"].replace(
        'license = "Apache-2.0"', 'license = {file = "LICENSE"}\ndependencies = ["flwr>=1.26.0"]'
    )
    given.app(tmp_path, files)
    with pytest.raises(AppBuildError, match="needs the licence file"):
        build_fab(tmp_path)

    (tmp_path / "LICENSE").write_text("free")
    assert "LICENSE" in kept(tmp_path)


@pytest.mark.row("S45")
def test_an_origin_is_part_of_the_bundle_and_never_the_folders_own_claim(tmp_path: Path) -> None:
    claim = f'\n[tool.flwr-compose.origin]\ncommit = "{"b" * 40}"\n'
    folder = given.app(tmp_path, {"pyproject.toml": given.PYPROJECT + claim})
    origin = Origin(commit="a" * 40, subdirectory="apps/x")

    assert build_fab(folder).manifest.origin is None
    built = build_fab(folder, origin=origin)
    assert verify_fab(built.content).manifest.origin == origin
    assert build_fab(folder, origin=origin).fab_hash == built.fab_hash
    assert build_fab(folder).fab_hash != built.fab_hash
