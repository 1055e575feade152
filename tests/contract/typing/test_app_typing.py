"""Apps that use our installed package, as ``mypy --strict`` sees them: right use clean, wrong told.

mypy runs as a user runs it: without this project's configuration, with the package from the virtual
environment, whose types it believes because of ``py.typed``.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.harness.toolset import ROOT

CACHE: Final = ROOT / ".mypy_cache" / "apps"
APPS: Final = (ROOT / "tests" / "interop" / "apps", ROOT / "examples")
CONFIG: Final = """\
[mypy]
strict = true

[mypy-sklearn.*,xgboost.*,torch.*]
ignore_missing_imports = true
"""
_ERROR: Final = re.compile(r"^[^:]+:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)
_WANTED: Final = re.compile(r"# wrong: ([a-z-]+)$")
WRONG: Final = """\
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()  # wrong: arg-type
def train(msg: Message, context: Context) -> RecordDict:
    return RecordDict({"metrics": {"loss": 0.5}})  # wrong: dict-item


@client.evaluate(mod=[])  # wrong: call-arg
def evaluate(msg: Message, context: Context) -> Message:
    rate: float = context.run_config["rate"]  # wrong: assignment
    metrics = MetricRecord({"loss": "low"})  # wrong: dict-item
    msg.content.array_records["arrays"].to_lists()  # wrong: attr-defined
    msg.metadata.message_id = "mine"  # wrong: misc
    Message(RecordDict({"metrics": metrics}), "node", "train")  # wrong: call-overload
    return Message(RecordDict({"metrics": metrics}), reply_to=msg)


@server.main()  # wrong: arg-type
def main(grid: Grid) -> None:
    strategy = FedAvg(fraction_train="all")  # wrong: arg-type
    result = strategy.start(grid, [1.0, 2.0])  # wrong: arg-type
    grid.send_and_receive([ConfigRecord()])  # wrong: list-item
    print(result.parameters, ArrayRecord())  # wrong: attr-defined


class Client(NumPyClient):
    def evaluate(self, parameters: list[float], config: str) -> float:  # wrong: override
        return 0.5
"""


def check(folder: Path, *paths: Path) -> str:
    """Return what mypy says about files, with ``folder`` as its working directory."""
    (folder / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(CACHE)]
    done = subprocess.run(
        [*command, *map(str, paths)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.slow  # reading the types of numpy for the first time takes seconds
def test_apps_are_clean(tmp_path: Path) -> None:
    assert all(any(folder.glob("*/pyproject.toml")) for folder in APPS)
    assert check(tmp_path, *APPS) == ""


@pytest.mark.slow
def test_wrong_use_is_told_where_it_is(tmp_path: Path) -> None:
    app = tmp_path / "wrong_app.py"
    app.write_text(WRONG)
    found = _WANTED.search
    wanted = {
        (number, match.group(1))
        for number, line in enumerate(WRONG.splitlines(), 1)
        if (match := found(line))
    }

    told = {(int(line), code) for line, code in _ERROR.findall(check(tmp_path, app))}

    assert told == wanted
