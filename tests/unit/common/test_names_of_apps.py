"""Small functions of the legacy packages that apps and their tests call."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.app.console_log import configure_console, logger
from flwr.common.config import get_project_config
from flwr.common.logger import (
    warn_deprecated_feature,
    warn_preview_feature,
    warn_unsupported_feature,
)
from flwr.common.message import make_message, remove_content_from_message
from flwr.serverapp.run_info import Run
from tests.harness.toolset import ROOT


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    before = (logger.level, logger.handlers[:], logger.propagate)
    stream = io.StringIO()
    configure_console(stream)
    yield stream
    logger.setLevel(before[0])
    logger.handlers[:], logger.propagate = before[1], before[2]


def test_a_project_is_read_as_it_is_written() -> None:
    project = get_project_config(ROOT / "tests" / "interop" / "apps" / "nested-config")

    assert project["project"]["name"] == "nested-config"
    assert project["tool"]["flwr"]["app"]["config"]["model"]["layers"] == {"hidden": 16, "out": 4}


def test_a_project_that_is_missing_or_no_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        get_project_config(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    with pytest.raises(ValueError, match="version") as refused:
        get_project_config(str(tmp_path))
    assert "serverapp" in str(refused.value)


def test_a_message_is_made_of_given_metadata_and_can_lose_its_content() -> None:
    asked = Message(RecordDict({"c": ConfigRecord({"a": 1})}), 5, "train")

    made = make_message(metadata=asked.metadata, content=asked.content)
    emptied = remove_content_from_message(made)

    assert made.metadata is asked.metadata
    assert (len(made.content), len(emptied.content)) == (1, 0)
    failed = Message(Error(2), reply_to=asked)
    assert remove_content_from_message(failed) is failed


def test_warnings_about_features_name_them(console: io.StringIO) -> None:
    for warn in (warn_preview_feature, warn_deprecated_feature, warn_unsupported_feature):
        warn("quantum gradients")

    printed = console.getvalue()
    assert printed.count("WARNING") == printed.count("quantum gradients") == 3


def test_an_empty_run_has_an_id_and_no_status() -> None:
    run = Run.create_empty(7)

    assert (run.run_id, run.fab_id, run.status.status) == (7, "", "")
