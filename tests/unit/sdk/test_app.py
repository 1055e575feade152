"""What may be submitted, as a bundle."""

import shutil
from pathlib import Path

import pytest

from flwr.core.run_config import UnknownConfigKeyError
from flwr.fab.verify import verify_fab
from flwr.sdk import InlineApp, InvalidError, SuperLink
from flwr.sdk.app import bundle_app
from tests.fakes.control import FakeControl
from tests.fakes.git_host import commit, make_repository
from tests.unit.fab import given

FILES = {name: data.decode() for name, data in given.FILES.items()}


@pytest.fixture
def files(tmp_path: Path) -> InlineApp:
    (tmp_path / "server.py").write_text("app = 1\n")
    (tmp_path / "client.py").write_text("app = 2\n")
    return InlineApp(serverapp="server.py:app", clientapp="client.py:app", dependencies=["numpy"])


@pytest.mark.skipif(not shutil.which("git"), reason="no git program")
@pytest.mark.row("S45")
def test_an_app_from_git_knows_its_commit(tmp_path: Path) -> None:
    tagged = commit(make_repository(tmp_path / "repo"), FILES, "v1")
    reference = f"git+file://{tmp_path / 'repo'}@v1"

    bundle = bundle_app(reference, {"rounds": 9}, git_token_file=None)

    origin = verify_fab(bundle.content).manifest.origin
    assert origin is not None
    assert (origin.commit, bundle.overrides) == (tagged, {"rounds": 9})
    with pytest.raises(UnknownConfigKeyError):
        bundle_app(reference, {"lr": 9}, git_token_file=None)


@pytest.mark.row("S46")
def test_two_files_are_an_app_that_has_the_submitted_configuration(
    link: SuperLink, control: FakeControl, files: InlineApp
) -> None:
    bundle = bundle_app(files, {"lr": 0.1}, git_token_file=None)

    manifest = verify_fab(bundle.content).manifest
    assert (manifest.fab_id, manifest.config) == ("inline/server-client", {"lr": 0.1})
    link.submit(files, run_config={"lr": 0.1})
    (sent,) = [arguments for call, arguments in control.asked if call == "start_run"]
    assert isinstance(sent, tuple)
    assert sent[0] == {}, "it is in the bundle"


@pytest.mark.row("S46")
def test_a_missing_file_of_two_is_named(link: SuperLink, files: InlineApp) -> None:
    with pytest.raises(InvalidError, match=r"absent.py"):
        link.submit(InlineApp(serverapp="absent.py:app", clientapp=files.clientapp))
