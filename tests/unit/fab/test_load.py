import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.fab.entry import parse_entry
from flwr.fab.load import LoadError, load

SOURCE = """
class Holder:
    app = 7
text = "seven"
"""


@pytest.fixture
def app_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    (tmp_path / "lonely_app.py").write_text(SOURCE)
    (tmp_path / "broken_app.py").write_text("1 / 0")
    (tmp_path / "leaving_app.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("app_dir")
def test_a_dotted_attribute_is_found() -> None:
    assert load(parse_entry("lonely_app:Holder.app"), int) == 7


@pytest.mark.usefixtures("app_dir")
@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("missing_app:app", "ModuleNotFoundError: No module named 'missing_app'"),
        ("broken_app:app", "ZeroDivisionError: division by zero"),
        ("leaving_app:app", "SystemExit: 3"),
        ("lonely_app:absent", "module 'lonely_app' has no attribute 'absent'"),
        ("lonely_app:text", "it is a str, not a int"),
    ],
)
def test_what_cannot_be_loaded_says_why(entry: str, why: str) -> None:
    with pytest.raises(LoadError) as caught:
        load(parse_entry(entry), int)
    assert caught.value.message == f"Unable to load {entry}: {why}"
