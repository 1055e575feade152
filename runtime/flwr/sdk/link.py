"""A connection to a SuperLink: submitting runs, finding them, admitting nodes."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flwr.control.api import CREDENTIALS, Control, open_control
from flwr.control.connection import CONFIG_FILE, Connection, Target, resolve
from flwr.control.submit import Submission, new_submit_key, submit
from flwr.core.clock import Clock, SystemClock
from flwr.core.errors import UnavailableError, UnimplementedError
from flwr.core.home import flwr_home
from flwr.core.ids import NodeId, RunId
from flwr.core.node import NodeStatus
from flwr.core.run_config import flatten
from flwr.sdk.app import App, bundle_app
from flwr.sdk.errors import LinkClosedError
from flwr.sdk.run import Run, RunInfo

logger = logging.getLogger(__name__)

Connect = Callable[[Connection], AbstractContextManager[Control]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """One SuperNode as the SuperLink knows it now; instants are aware and in UTC."""

    node_id: int
    owner: str
    status: NodeStatus
    registered_at: datetime
    online_since: datetime | None  # None while it is not online


class SuperLink:
    """An open connection to a SuperLink's Control API.

    Use ``connect``, and the result as a context manager.  It may be used from several threads;
    ``close`` from another thread ends every wait with ``LinkClosedError``.  Every call is
    answered or fails within 60 s, plus the time a bundle takes to be sent.
    """

    def __init__(
        self, connection: Connection, *, connect: Connect = open_control, clock: Clock | None = None
    ) -> None:
        """Take a resolved connection; users call ``connect`` instead."""
        self._connection = connection
        self.clock: Clock = clock or SystemClock()
        self._closed = threading.Event()
        self._opened = connect(connection)
        self._control = self._opened.__enter__()

    @classmethod
    def connect(
        cls,
        superlink: str | None = None,
        *,
        root_certificates: Path | str | None = None,
        insecure: bool = False,
    ) -> Self:
        """Return a connection; it is made at the first call, which explains what is wrong with it.

        Where the SuperLink has accounts, the login that ``flwr login`` keeps is used.

        Args:
            superlink: ``HOST:PORT`` of the Control API, or a name from the project in the current
                folder or from ``~/.flwr/config.toml``; None: their default.
            root_certificates: PEM file of the authority that signed the SuperLink's certificate,
                with an address; None: TLS by the public authorities.
            insecure: clear text, with an address; for tests on one machine.

        Raises:
            ConnectionConfigError: the arguments or a file contradict themselves.
            ConnectionNotFoundError: no file names that connection.
            CertificateError: the root certificates cannot be used.
        """
        is_address = superlink is not None and ":" in superlink
        target = Target(
            name=None if is_address else superlink,
            address=superlink if is_address else None,
            root_certificates=Path(root_certificates) if root_certificates else None,
            insecure=insecure,
        )
        home = flwr_home()
        connection = resolve(target, config_file=home / CONFIG_FILE, app_dir=Path.cwd())
        if connection.is_local:
            raise UnimplementedError(
                f"the SDK starts no SuperLink for {connection.address!r}",
                hint="`flwr ls` starts it; then connect to '127.0.0.1:39093' with insecure=True",
            )
        return cls(connection, connect=partial(open_control, credentials=home / CREDENTIALS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SuperLink({self.address})"

    @property
    def address(self) -> str:
        """``HOST:PORT`` of its Control API."""
        return self._connection.address

    def submit(
        self,
        app: App,
        *,
        run_config: Mapping[str, Any] | None = None,
        federation: str = "",
        submit_key: str = "",
        git_token_file: Path | str | None = None,
    ) -> Run:
        """Bundle an app, have the SuperLink run it, and return the run.

        Args:
            app: folder of the app; or a ``.fab`` file, or the bytes of one; or a git reference,
                ``git+https://HOST/OWNER/REPO@TAG#subdirectory=PATH``, whose commit is stored with
                the run; or two files, as an ``InlineApp``.
            run_config: overrides of the app's run configuration: bools, ints, floats and strings
                by key; nested or dotted, ``{"opt": {"lr": 0.1}}`` is ``{"opt.lr": 0.1}``.  Of an
                inline app it is the run configuration itself.
            federation: full name; empty: the connection's, or the SuperLink's default.
            submit_key: the same key twice is the same run, so that a scheduler may repeat itself;
                empty: a new run.  A lost answer is asked for again in either case.
            git_token_file: file with the secret of a private repository: TOKEN, or USER:TOKEN.

        Raises:
            InvalidError: there is no app; the error's type and text say what is wrong with it.
            DeniedError: the repository does not let you in.
            UnknownConfigKeyError: the app does not define that key.
            NotFoundError: the SuperLink has no such federation.
            UnavailableError: the SuperLink does not answer.
        """
        token = None if git_token_file is None else Path(git_token_file)
        bundle = bundle_app(app, flatten(run_config or {}), git_token_file=token)
        submission = Submission(
            fab=bundle.content,
            overrides=bundle.overrides,
            federation=federation or self._connection.federation,
            simulation=self._connection.options,
            submit_key=submit_key or new_submit_key(),
        )
        with self.guarded() as control:
            return Run(self, submit(control, submission, clock=self.clock, pause=self.pause))

    def run(self, run_id: int) -> Run:
        """Return a run by its id, without asking whether there is one."""
        return Run(self, RunId(run_id))

    def runs(self, limit: int | None = None) -> list[RunInfo]:
        """Return the runs, newest first, ``limit`` of them at most (None: 1000)."""
        with self.guarded() as control:
            found, _ = control.list_runs(None, limit)
        return [RunInfo.of(run) for run in found]

    def nodes(self) -> list[NodeInfo]:
        """Return the SuperNodes that are not removed."""
        with self.guarded() as control:
            found, _ = control.list_nodes()
        return [
            NodeInfo(
                node_id=node.node_id,
                owner=node.owner_name,
                status=node.status,
                registered_at=node.registered_at,
                online_since=node.activated_at if node.status is NodeStatus.ONLINE else None,
            )
            for node in found
            if node.status is not NodeStatus.UNREGISTERED
        ]

    def register_node(self, public_key: str | bytes) -> int:
        """Admit a node by its public key (OpenSSH line or PEM, NIST curve); return its id.

        Raises:
            PublicKeyError: it is no such key.
            FailedPreconditionError: the key is registered already.
        """
        from flwr.auth.node_keys import parse_public_key  # noqa: PLC0415 - cryptography is slow

        key = public_key.encode() if isinstance(public_key, str) else public_key
        with self.guarded() as control:
            return control.register_node(parse_public_key(key))

    def unregister_node(self, node_id: int) -> None:
        """Remove a node for good: it loses access at its next call, and its key stays taken.

        Raises:
            NodeNotFoundError: there is none of that id.
        """
        with self.guarded() as control:
            control.unregister_node(NodeId(node_id))

    def close(self) -> None:
        """Close the connection and end what waits on it; may be called twice."""
        if not self._closed.is_set():
            self._closed.set()
            self._opened.__exit__(None, None, None)

    # -- for Run ----------------------------------------------------------------------------

    @contextmanager
    def guarded(self) -> Iterator[Control]:
        """Yield the calls; what fails because the link is closed says so."""
        if self._closed.is_set():
            raise LinkClosedError
        try:
            yield self._control
        except (UnavailableError, ValueError) as cause:  # ValueError: gRPC's word for closed
            if self._closed.is_set():
                raise LinkClosedError from cause
            raise

    def pause(self, seconds: float) -> None:
        """Wait, unless the link is closed meanwhile."""
        if self._closed.wait(seconds):
            raise LinkClosedError

    def note_loss(self) -> None:
        """Log that a connection broke and is being taken up again."""
        logger.warning(
            "Lost the connection to the SuperLink, trying again",
            extra={"event": "connection-lost", "superlink": self.address},
        )
