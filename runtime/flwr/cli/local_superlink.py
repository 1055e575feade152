"""The SuperLink and SuperNodes that stand behind ``:local:``, started detached when first needed.

They outlive the command; ``flwr local stop`` ends them.  State is below FLWR_HOME/local-superlink.
"""

import fcntl
import random
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from flwr.cli.environment import Environment
from flwr.cli.local_processes import (
    LocalProcess,
    LocalRecord,
    is_alive,
    load_record,
    save_record,
    started_at,
)
from flwr.cli.report import Report
from flwr.control.connection import Connection
from flwr.core.errors import UnavailableError

DEFAULT_SUPERNODES: Final = 2
RECORD: Final = "processes.json"
_HOST: Final = "127.0.0.1"
_ANY_PORT: Final = f"{_HOST}:0"
_PROBE_S: Final = 0.4
_START_S: Final = 15.0
_STEP_S: Final = 0.1
# Where the kernel takes no ports from for outgoing connections, unless told to.
_BELOW_EPHEMERAL: Final = range(20_000, 32_000)
_PORT_TRIES: Final = 100
_LOG_TAIL: Final = 2000  # characters shown when a daemon does not start


class LocalStartError(UnavailableError):
    """A daemon of the local federation did not come up."""

    def __init__(self, name: str, log: Path, why: str) -> None:
        """Show the end of its log."""
        super().__init__(f"the local {name} {why}", hint=f"its log is {log}")


def ensure_local(environment: Environment, report: Report, connection: Connection) -> Connection:
    """Return ``connection`` with a real address behind which a SuperLink answers.

    Raises:
        LocalStartError: it did not come up within 15 s.
    """
    address = f"{_HOST}:{environment.local_control_port}"
    wanted = connection.options.num_supernodes if connection.options else None
    federation = LocalFederation(environment, report, wanted or DEFAULT_SUPERNODES)
    with federation.exclusive():
        federation.ensure(address)
    return replace(connection, address=address)


class LocalFederation:
    """Starts what is missing of one SuperLink and N SuperNodes."""

    def __init__(self, environment: Environment, report: Report, num_supernodes: int) -> None:
        self._environment, self._report = environment, report
        self._num_supernodes = num_supernodes
        self._dir = environment.local_dir

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other commands from starting a second federation meanwhile."""
        self._dir.mkdir(parents=True, exist_ok=True)
        with (self._dir / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def ensure(self, control_address: str) -> None:
        """Make the SuperLink answer at ``control_address`` and its SuperNodes run."""
        record = load_record(self._dir / RECORD)
        alive = [p for p in record.processes if is_alive(p)] if record else []
        if _answers(control_address):
            if record and alive:
                self._complete(record, alive)
            return  # else somebody else's SuperLink: theirs are the nodes as well
        fleet_address = f"{_HOST}:{_free_port()}"
        self._report.note(f"Starting local SuperLink on {control_address}")
        superlink = self._start_superlink(control_address, fleet_address)
        started = LocalRecord(
            fleet_address=fleet_address,
            num_supernodes=self._num_supernodes,
            processes=(superlink, *(p for p in alive if p.name != superlink.name)),
        )
        save_record(self._dir / RECORD, started)
        self._start_supernodes(replace(started, processes=(superlink,)))
        self._report.note("Stop it with: flwr local stop")

    def _complete(self, record: LocalRecord, alive: Sequence[LocalProcess]) -> None:
        """Start again the SuperNodes that died; the number stays what it was."""
        if record.num_supernodes != self._num_supernodes:
            self._report.note(
                f"The local federation runs with {record.num_supernodes} SuperNodes, "
                f"not {self._num_supernodes}; `flwr local stop` first to change it",
            )
        self._start_supernodes(replace(record, processes=tuple(alive)))

    def _start_superlink(self, control_address: str, fleet_address: str) -> LocalProcess:
        log = self._dir / "superlink.log"
        process = self._start(
            "superlink",
            "flower-superlink",
            [
                *("--insecure", "--isolation", "subprocess"),
                *("--control-api-address", control_address),
                *("--fleet-api-address", fleet_address),
                *("--serverappio-api-address", _ANY_PORT),
                *("--state-dir", str(self._dir / "state")),
            ],
            log,
        )
        for _ in range(int(_START_S / _STEP_S)):
            if _answers(control_address):
                return process
            if not is_alive(process):
                raise LocalStartError("SuperLink", log, f"ended at once:\n{_tail(log)}")
            self._environment.pause(_STEP_S)
        raise LocalStartError("SuperLink", log, f"did not answer within {_START_S:g} s")

    def _start_supernodes(self, record: LocalRecord) -> None:
        running = {process.name for process in record.processes}
        processes = list(record.processes)
        for index in range(record.num_supernodes):
            name = f"supernode-{index}"
            if name in running:
                continue
            state = self._dir / "nodes" / str(index)
            state.mkdir(parents=True, exist_ok=True)
            partition = f"partition-id={index} num-partitions={record.num_supernodes}"
            arguments = [
                *("--insecure", "--superlink", record.fleet_address),
                *("--isolation", "subprocess", "--clientappio-api-address", _ANY_PORT),
                *("--node-config", partition, "--state-dir", str(state)),
            ]
            log = self._dir / f"{name}.log"
            processes.append(self._start(name, "flower-supernode", arguments, log))
            save_record(self._dir / RECORD, replace(record, processes=tuple(processes)))
            self._report.note(f"Starting local SuperNode {index + 1}/{record.num_supernodes}")

    def _start(self, name: str, program: str, arguments: list[str], log: Path) -> LocalProcess:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [self._environment.program(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in this terminal is not meant for it
                cwd=self._dir,  # never the folder the first command happened to run in
            )
        process.returncode = 0  # it is left alone on purpose: Popen shall not warn of it
        return LocalProcess(name=name, pid=process.pid, started=started_at(process.pid))


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_PROBE_S):
            return True
    except OSError:
        return False


def _free_port() -> int:
    """Return a port that no outgoing connection can take before the SuperLink does."""
    for _ in range(_PORT_TRIES):
        port = random.choice(_BELOW_EPHEMERAL)  # noqa: S311  not a secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind((_HOST, port))
            return port
    raise UnavailableError(
        f"no free port between {_BELOW_EPHEMERAL.start} and {_BELOW_EPHEMERAL.stop - 1}",
        hint="end programs that hold ports, or start a SuperLink yourself: flower-superlink --help",
    )


def _tail(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-_LOG_TAIL:].strip()
    except OSError:
        return "(no log)"
