"""A whole federation as processes on loopback."""

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flwr.auth.tls import ClientTls
from flwr.control.terminal import LogText
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.core.node import NodeStatus
from flwr.core.run import FINAL, RunStatus
from flwr.wire.clients.control import ControlClient, open_control
from tests.harness.ports import free_address
from tests.harness.program import Program, end_all, eventually
from tests.harness.toolset import OURS, ROOT, Toolset

CONNECTION: Final = "test"
_COMPLETED: Final = "finished:completed"
_LOG_SHOWN: Final = 4000  # characters of the log of a run that failed
_POLL_S: Final = 0.1
_QUIET: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "NO_COLOR": "1",
    "COLUMNS": "200",
    "RAY_NUM_REDIS_GET_RETRIES": "120",  # seconds that Ray waits for its own GCS: 20 if not said
}
# Its simulation forks for each of Ray's processes.  With its hooks gRPC crashes some of these
# children before they become what they should be, and Ray waits 30 s for a raylet that never was.
_OF_UPSTREAM: Final = {"GRPC_ENABLE_FORK_SUPPORT": "0"}


def make_certificates(where: Path, nodes: int, hosts: Sequence[str] = ()) -> None:
    """Make keys and certificates of a federation."""
    pki = [sys.executable, str(ROOT / "certs" / "pki.py"), "all", "--nodes", str(nodes)]
    pki += ["--out", str(where), *(["--san", ",".join(hosts)] if hosts else [])]
    subprocess.run(pki, check=True, stdout=subprocess.DEVNULL)


@cache
def certificates_for(nodes: int) -> Path:
    """Return the certificates of this test session, for every federation to copy."""
    made = Path(tempfile.mkdtemp(prefix="flwr-test-certs-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    make_certificates(made / "certs", nodes)
    return made / "certs"


class Federation:
    """Starts programs of any release with matching addresses, keys and certificates.

    Use it as a context manager: everything started is ended, whatever happened.
    """

    def __init__(self, root: Path, *, tls: bool, nodes: int = 2, hosts: Sequence[str] = ()) -> None:
        """Choose addresses and make keys; the server certificate is for ``hosts``, too."""
        self.root, self.tls = root, tls
        root.mkdir(parents=True, exist_ok=True)
        self.fleet, self.control, self.serverappio = (free_address() for _ in range(3))
        self.programs: list[Program] = []
        self.superlink: Program | None = None
        self.nodes: list[Program] = []
        # Of its own, since killed programs leave things; its path is short, for sockets.
        self._temporary = tempfile.mkdtemp(prefix="flwr-")
        self.certs = root / "certs"
        self.ca = self.certs / "user" / "ca.crt"
        if hosts:
            make_certificates(self.certs, nodes, hosts)
        else:
            shutil.copytree(certificates_for(nodes), self.certs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            for program in self.programs:
                sys.stderr.write(f"--- {program.name} ---\n{program.output[-3000:]}\n")
        end_all(self.programs)
        shutil.rmtree(self._temporary, ignore_errors=True)

    # -- programs -------------------------------------------------------------------------

    def start_superlink(
        self, tools: Toolset = OURS, *args: str, node_auth: bool = False, name: str = "superlink"
    ) -> Program:
        """Start a SuperLink and wait until it serves."""
        argv = [tools.program("flower-superlink"), *self._server_security()]
        argv += ["--fleet-api-address", self.fleet, "--control-api-address", self.control]
        argv += ["--serverappio-api-address", self.serverappio]
        argv += ["--database", str(self.root / "superlink.db")]
        if tools.is_ours:
            argv += ["--state-dir", str(self.root / "superlink")]
        if node_auth:
            argv += ["--enable-supernode-auth"]
            listed = str(self.certs / "superlink" / "node-keys.pub")
            argv += ["--node-keys", listed] if tools.is_ours else []
        program = self._start(name, tools, [*argv, *args])
        for address in (self.fleet, self.control, self.serverappio):
            program.await_port(address)
        return program

    def start_node(
        self, number: int, tools: Toolset = OURS, *args: str, keyed: bool = False, of: int = 2
    ) -> Program:
        """Start SuperNode ``number`` (from 1) without waiting for it."""
        config = f"partition-id={number - 1} num-partitions={of}"
        argv = [tools.program("flower-supernode"), *self._client_security()]
        argv += ["--superlink", self.fleet, "--node-config", config]
        if "--clientappio-api-address" not in args:
            argv += _appio_flags(tools, free_address())
        if tools.is_ours:
            argv += ["--state-dir", str(self.root / f"node-{number}")]
        if keyed:
            argv += ["--auth-supernode-private-key", str(self.node_key(number))]
        return self._start(f"node-{number}", tools, [*argv, *args])

    def start(self, name: str, tools: Toolset, command: str, *args: str) -> Program:
        """Start any other program of a release."""
        return self._start(name, tools, [tools.program(command), *args])

    def start_command(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Program:
        """Start any command line in any environment."""
        program = Program(name, argv, log=self.root / f"{name}.log", env=env, cwd=self.root)
        self.programs.append(program)
        return program

    def _start(self, name: str, tools: Toolset, argv: Sequence[str]) -> Program:
        env = self.environment(tools, name)
        return self.start_command(name, argv, env)

    # -- the command line -----------------------------------------------------------------

    def flwr(
        self,
        *args: str,
        tools: Toolset = OURS,
        cwd: Path | None = None,
        check: bool = True,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run one ``flwr`` command; stdout and stderr are captured."""
        env = self.environment(tools, "cli")
        self._write_connection(tools)
        done = subprocess.run(
            [tools.program("flwr"), *args],
            capture_output=True,
            text=True,
            env=env,
            cwd=cwd or self.root,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"flwr {' '.join(args)} ({tools.name}) exited {done.returncode}:\n"
                f"{done.stdout}\n{done.stderr}",
            )
        return done

    def flwr_json(self, *args: str, tools: Toolset = OURS) -> Any:
        """Run one ``flwr`` command and return its JSON answer."""
        return json.loads(self.flwr(*args, "--format", "json", tools=tools).stdout)

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs, newest first, as ``flwr ls`` shows them."""
        found = self.flwr_json("ls", CONNECTION)["runs"]
        assert isinstance(found, list)
        return found

    def run_status(self, run_id: str) -> dict[str, Any]:
        """Return one run as ``flwr ls --run-id`` shows it."""
        found = self.flwr_json("ls", CONNECTION, "--run-id", run_id)["runs"][0]
        assert isinstance(found, dict)
        return found

    def await_nodes(self, count: int, timeout: float = 60) -> None:
        """Wait until ``count`` nodes are online."""

        with self.open_control() as control:

            def online() -> int:
                nodes, _ = control.list_nodes()
                return sum(node.status is NodeStatus.ONLINE for node in nodes)

            eventually(
                lambda: online() >= count,
                timeout=timeout,
                step=_POLL_S,
                otherwise=lambda: f"{count} nodes should be online, {online()} are",
            )

    def submit(self, app: Path, *args: str) -> str:
        """Submit ``app`` with our CLI and return the run id."""
        answer = self.flwr_json("run", str(app), CONNECTION, *args)
        assert answer["success"], answer
        return str(answer["run-id"])

    def await_end(self, run_id: str, timeout: float = 120) -> dict[str, Any]:
        """Wait until a run is final and return it; one that failed is shown with its log."""
        self.await_status(run_id, *FINAL, timeout=timeout)
        run = self.run_status(run_id)
        if run["status"] != _COMPLETED:  # pytest shows it if that was not expected
            sys.stdout.write(f"{run}\n{self.log_of(run_id)[-_LOG_SHOWN:]}\n")
        return run

    def await_status(self, run_id: str, *wanted: RunStatus, timeout: float = 120) -> None:
        """Wait until a run has one of these statuses."""
        with self.open_control() as control:

            def status() -> RunStatus:
                (run,), _ = control.list_runs(RunId(int(run_id)))
                return run.status

            eventually(
                lambda: status() in wanted,
                timeout=timeout,
                step=_POLL_S,
                otherwise=lambda: f"run {run_id} is {status()}",
            )

    def log_of(self, run_id: str) -> str:
        """Return the run's log so far, as ``flwr log --show`` prints it."""
        with self.open_control() as control:
            (run,), _ = control.list_runs(RunId(int(run_id)))
            if run.is_final:  # then the stream ends by itself
                text = LogText(colours=False)
                return "".join(text.feed(part) for part, _ in control.stream_logs(run.run_id))
        return self.flwr("log", run_id, CONNECTION, "--show").stdout

    def await_log(self, run_id: str, wanted: str, timeout: float = 60) -> None:
        """Wait until ``wanted`` is in the log of a running run."""
        seen: list[str] = []

        def read() -> None:
            with contextlib.suppress(FlwrError, ValueError):  # the channel is closed under it
                for part, _ in control.stream_logs(RunId(int(run_id))):
                    seen.append(part)

        with self.open_control() as control:
            reading = threading.Thread(target=read, daemon=True)
            reading.start()
            eventually(
                lambda: wanted in "".join(seen),
                timeout=timeout,
                otherwise=lambda: f"{wanted!r} never came:\n{''.join(seen)[-3000:]}",
            )
        reading.join(10)

    # -- how programs find and trust each other ---------------------------------------------

    def open_control(self) -> AbstractContextManager[ControlClient]:
        """Open our own client: to poll by a process each time would take the processors."""
        tls = ClientTls(self.ca.read_bytes()) if self.tls else None
        return open_control(self.control, tls)

    def node_key(self, number: int) -> Path:
        """Private key of a node; its public half lies beside it, with the suffix ``.pub``."""
        return self.certs / f"supernode-{number}" / "node.key"

    def _server_security(self) -> list[str]:
        if not self.tls:
            return ["--insecure"]
        files = {"ca-certfile": "ca.crt", "certfile": "server.crt", "keyfile": "server.key"}
        return [
            part
            for flag, file in files.items()
            for part in (f"--ssl-{flag}", str(self.certs / "superlink" / file))
        ]

    def _client_security(self) -> list[str]:
        if not self.tls:
            return ["--insecure"]
        return ["--root-certificates", str(self.ca)]

    def environment(self, tools: Toolset, who: str) -> dict[str, str]:
        """Return the environment of a program: its own home, its own release first on PATH."""
        home = self.root / "home" / f"{tools.name}-{who}"
        home.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(tools.bin), os.environ.get("PATH", "")])
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLWR_", "VIRTUAL_ENV"))}
        own = {"FLWR_HOME": str(home), "HOME": str(home), "TMPDIR": self._temporary}
        quiet = _QUIET if tools.is_ours else _QUIET | _OF_UPSTREAM
        return {**kept, **quiet, "PATH": path, **own}

    def _write_connection(self, tools: Toolset) -> None:
        home = Path(self.environment(tools, "cli")["FLWR_HOME"])
        security = f'root-certificates = "{self.ca}"' if self.tls else "insecure = true"
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{CONNECTION}"\n\n'
            f'[superlink.{CONNECTION}]\naddress = "{self.control}"\n{security}\n',
        )


def _appio_flags(tools: Toolset, address: str) -> list[str]:
    if tools.release < (1, 35):
        return ["--clientappio-api-address", address]
    host, _, port = address.rpartition(":")
    return ["--host", host, "--port", port]
