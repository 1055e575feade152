"""images/layer.py and app_venv.py: what is in a layer, and that it is the same each time."""

import os
from pathlib import Path

import pytest
from images import app_venv, layer

from tests.harness.toolset import ROOT

METADATA = """\
Metadata-Version: 2.4
Name: flwr-compose
Requires-Dist: grpcio<2,>=1.75.1
Requires-Dist: typer>=0.15
Requires-Dist: Tomli_W>=1.0
Requires-Dist: psycopg[binary]>=3.2; extra == "postgres"

Requires-Dist: prose
"""


def test_commands_come_from_the_project_and_name_their_interpreter(tmp_path: Path) -> None:
    scripts = layer.read_scripts(ROOT / "pyproject.toml", ["flower-superlink"])

    layer.write_commands(tmp_path, "/opt/venv/bin/python3", scripts)

    text = (tmp_path / "flower-superlink").read_text()
    assert text.startswith("#!/opt/venv/bin/python3\n")
    assert "from flwr.superlink.main import main" in text
    assert os.access(tmp_path / "flower-superlink", os.X_OK)


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(SystemExit, match="no command flower-superhero"):
        layer.read_scripts(ROOT / "pyproject.toml", ["flower-superhero"])


def test_pruning_spares_licences_and_what_apps_use_of_numpy(tmp_path: Path) -> None:
    kept = [
        "numpy/f2py/__init__.py",
        "numpy/include/a.h",
        "x-1.dist-info/licenses/LICENSE",
        "x/a.py",
    ]
    gone = ["numpy/tests/t.py", "x/a.pyi", "x/a.h", "x/tests/t.py", "x-1.dist-info/RECORD"]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    layer.prune(tmp_path)

    assert sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()) == kept


def test_a_tree_does_not_tell_when_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    (tmp_path / "a" / "program").touch(mode=0o700)
    (tmp_path / "a" / "link").symlink_to("nowhere")

    layer.date_tree(tmp_path, 1_700_000_000)

    for path in (tmp_path, *tmp_path.rglob("*")):
        assert path.lstat().st_mtime == 1_700_000_000
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "program").stat().st_mode & 0o777 == 0o755


def test_byte_code_is_the_same_wherever_it_was_made(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        package = tmp_path / name / "opt" / "package"
        package.mkdir(parents=True)
        (package / "a.py").write_text("X = 1\n")
        layer.compile_tree(tmp_path / name, package)
        made.append(next(package.rglob("*.pyc")).read_bytes())

    assert made[0] == made[1]


def test_what_an_image_lacks_it_does_not_claim_to_require() -> None:
    trimmed = app_venv.trim_metadata(
        METADATA, app_venv.read_names("grpcio==1.85.1 \\\ntomli-w==1\n")
    )

    assert "Requires-Dist: grpcio" in trimmed
    assert "Requires-Dist: Tomli_W" in trimmed
    assert "typer" not in trimmed


def test_users_are_held_to_what_the_runtime_requires() -> None:
    text = app_venv.constraints(['psycopg; extra == "postgres"', "protobuf<7,>=6.31.1"], "1.29.0")

    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "flwr==1.29.0",
        "protobuf<7,>=6.31.1",
    ]


def test_what_sorts_in_two_ways_goes_to_a_layer_of_its_own(tmp_path: Path) -> None:
    out, beside = tmp_path / "out", tmp_path / "beside"
    for name in ("lib/numpy/a.py", "lib/numpy-2.dist-info/METADATA", "lib/numpy.libs/x.so"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).touch()
    (out / "lib" / "numpy_typing.py").touch()  # "_" sorts after "/": the same in both orders
    with pytest.raises(SystemExit, match="packed in two orders"):
        layer.check_order(out)

    layer.separate(out, beside)

    assert sorted(path.name for path in (out / "lib").iterdir()) == ["numpy", "numpy_typing.py"]
    assert sorted(path.name for path in (beside / "lib").iterdir()) == [
        "numpy-2.dist-info",
        "numpy.libs",
    ]
    for root in (out, beside):
        layer.check_order(root)
        paths = [str(path.relative_to(root)) for path in root.rglob("*")]
        assert sorted(paths) == sorted(paths, key=lambda path: path.split("/"))
