from pathlib import Path

import pytest

from flwr.fab.entry import check_entry, parse_entry
from flwr.fab.errors import AppEntryError
from tests.unit.fab import given


@pytest.mark.parametrize(
    "source",
    [
        "app = 1",
        "app: int = 1",
        "def app(): ...",
        "class app: ...",
        "from elsewhere import thing as app",
        "if True:\n    app = 1",
        "try:\n    pass\nfinally:\n    app = 1",
        "__all__ = ['app']",
        "a, app = 1, 2",
    ],
)
def test_a_defined_attribute_is_found_without_importing(tmp_path: Path, source: str) -> None:
    given.app(tmp_path, {"tiny/server_app.py": f"{source}\nraise SystemExit('imported')\n"})
    assert check_entry(parse_entry("tiny.server_app:app.inner"), tmp_path).name == "server_app.py"


@pytest.mark.parametrize("source", ["other = 1", "def f():\n    app = 1", "app: int", "app ="])
def test_an_attribute_the_module_does_not_define_is_refused(tmp_path: Path, source: str) -> None:
    given.app(tmp_path, {"tiny/server_app.py": source})
    with pytest.raises(AppEntryError, match=r"tiny\.server_app:app"):
        check_entry(parse_entry("tiny.server_app:app"), tmp_path)


@pytest.mark.row("F33")
def test_an_entry_into_the_standard_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AppEntryError, match="the app has no module 'os'"):
        check_entry(parse_entry("os:system"), given.app(tmp_path))


def test_a_package_may_define_the_attribute_in_its_init(tmp_path: Path) -> None:
    given.app(tmp_path, {"tiny/__init__.py": "app = 1"})
    assert check_entry(parse_entry("tiny:app"), tmp_path) == tmp_path / "tiny/__init__.py"
