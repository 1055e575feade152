"""A command line of each command that succeeds, and what must be there for it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

from flwr.core.node import NodeStatus
from flwr.core.run import RunStatus
from flwr.wire.clients.accounts import LoginDetails, Tokens
from flwr.wire.codec.federations import FederationInfo, Invitation, Invitations
from tests.fakes.control import NOW, FakeControl, some_node, some_run
from tests.unit.fab import given


@dataclass(frozen=True)
class Scene:
    """What a command finds around itself."""

    control: FakeControl
    folder: Path  # the current one

    @property
    def home(self) -> Path:
        return self.folder / "home"


Prepare = Callable[[Scene], object]


@dataclass(frozen=True)
class Example:
    """A command line, without ``--format json`` and the SuperLink."""

    command: str
    words: str = ""
    prepare: Prepare = lambda _: None
    code: int = 0
    is_offline: bool = False


def _with_runs(scene: Scene) -> None:
    ends = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.FAILED)
    scene.control.runs = {n: some_run(n, status, "why") for n, status in enumerate(ends, 6)}
    scene.control.nodes = [some_node(n, s) for n, s in enumerate(NodeStatus, 2**64 - 5)]
    scene.control.chunks = [("one\ntw", 1.0e9), ("o\nthree", 1.1e9)]


def _with_federations(scene: Scene) -> None:
    _with_runs(scene)
    scene.control.manages = True
    old = FederationInfo(name="@none/old", archived=True, simulation=True)
    scene.control.federations = [old]
    mine = Invitation(
        federation="@a/x",
        inviter="a",
        invitee="b",
        status="pending",
        created_at=NOW,
        changed_at=None,
    )
    scene.control.invitations = Invitations(created=(mine,), received=(mine,))


def _with_app(scene: Scene) -> None:
    given.app(scene.folder / "app")
    (scene.folder / "app" / "data.csv").write_text("1")


def _with_failing_app(scene: Scene) -> None:
    _with_app(scene)
    scene.control.ends_as, scene.control.details = RunStatus.FAILED, "boom"


def _with_bundle(scene: Scene) -> None:
    (scene.folder / "some.fab").write_bytes(given.fab())


def _with_key(scene: Scene) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    text = public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    (scene.folder / "key.pub").write_bytes(text)


def _with_artifacts(scene: Scene) -> None:
    _with_runs(scene)
    scene.control.artifacts = "https://example.org/7"


def _with_accounts(scene: Scene) -> None:
    scene.control.login = LoginDetails(
        authn_type="oidc",
        device_code="code",
        verification_uri="https://login.example.org/device",
        expires_in=timedelta(minutes=5),
        interval=timedelta(seconds=5),
    )
    scene.control.tokens = [None, Tokens("access", "refresh")]


def _with_record(scene: Scene) -> None:
    process = {"name": "superlink", "pid": 2**22 - 1, "started": "1"}
    record = {"fleet_address": "h:1", "num_supernodes": 2, "processes": [process]}
    path = scene.home / "local-superlink" / "processes.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))


EXAMPLES: Final = (
    Example("new", is_offline=True),
    Example("new", "--list", is_offline=True),
    Example("run", "app", _with_app),
    Example("run", "app --wait", _with_app),
    Example("run", "app --stream", _with_failing_app, code=6),
    Example("list", "", _with_runs),
    Example("list", "--run-id 7", _with_runs),
    Example("log", "7", _with_runs),
    Example("log", "7 --show", _with_runs),
    Example("stop", "7", _with_runs),
    Example("build", "--app app", _with_app, is_offline=True),
    Example("install", "some.fab", _with_bundle, is_offline=True),
    Example("login", "", _with_accounts),
    Example("pull", "8", _with_artifacts),
    Example("supernode register", "key.pub", _with_key),
    Example("supernode unregister", str(2**64 - 5), _with_runs),
    Example("supernode list", "-v", _with_runs),
    Example("federation list", "", _with_federations),
    Example("federation list", "--verbose", _with_federations),
    Example("federation list", "--federation @none/default -v", _with_federations),
    Example("federation show", "@none/default", _with_federations),
    Example("federation simulation-config", "--num-supernodes 5 --verbose", _with_federations),
    Example("federation create", "x --description d --simulation", _with_federations),
    Example("federation archive", "@none/x", _with_federations),
    Example("federation add-supernode", "5 @none/x", _with_federations),
    Example("federation remove-supernode", "5 @none/x", _with_federations),
    Example("federation remove-account", "@none/x", _with_federations),
    Example("federation remove-account", "@none/x ada", _with_federations),
    Example("federation invite list", "", _with_federations),
    Example("federation invite create", "ada @none/x", _with_federations),
    Example("federation invite accept", "@none/x", _with_federations),
    Example("federation invite reject", "@none/x", _with_federations),
    Example("federation invite revoke", "ada @none/x", _with_federations),
    Example("app publish", code=6, is_offline=True),
    Example("app review", "@a/b", code=6, is_offline=True),
    Example("config list", is_offline=True),
    Example("local status", "", _with_record, is_offline=True),
    Example("local stop", "", _with_record, is_offline=True),
)
