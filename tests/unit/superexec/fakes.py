"""Stand-ins for the daemon a SuperExec serves and for the processes it starts."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from flwr.core.errors import FlwrError, UnimplementedError
from flwr.core.ids import RunId
from flwr.core.run import Run
from flwr.superexec.launcher import Launch
from flwr.wire.clients.launches import TakenLaunch
from tests.unit.core.test_run import PENDING


class FakeLaunches:
    """A daemon with a list of runs that wait; it holds the list call while nothing waits."""

    def __init__(self, *waiting: int) -> None:
        self.waiting = [RunId(run_id) for run_id in waiting]
        self.errors: list[FlwrError] = []
        self.reports: list[tuple[str, int, str]] = []
        self.reported = asyncio.Event()
        self.given_back: list[str] = []
        self.claims = self.whole_asked = 0
        self.whole: list[TakenLaunch | FlwrError] | None = None  # the daemon lacks the call
        self.claimable = asyncio.Event()
        self.claimable.set()
        self.taken_by_others: set[RunId] = set()
        self._offered = asyncio.Event()
        self.greetings: list[FlwrError | None] = []  # how GetRun of no run is answered, in turn
        self.greeted = 0
        self.apps: dict[int, str] = {}  # of the runs there are
        self.looked_up: list[RunId] = []

    async def take(self) -> TakenLaunch | None:
        self.whole_asked += 1
        if self.whole is None:
            raise UnimplementedError("no such call")
        if not self.whole:
            await asyncio.Event().wait()
        taken = self.whole.pop(0)
        if isinstance(taken, FlwrError):
            raise taken
        return taken

    async def list_apps(self) -> list[RunId]:
        if self.errors:
            raise self.errors.pop(0)
        while not self.waiting:
            await self._offered.wait()
            self._offered.clear()
            if self.errors:
                raise self.errors.pop(0)
        return list(self.waiting)

    def offer(self, run_id: int) -> None:
        """Let another run wait."""
        self.waiting.append(RunId(run_id))
        self._offered.set()

    async def request_token(self, run_id: RunId) -> str:
        self.claims += 1
        await self.claimable.wait()
        self.waiting.remove(run_id)
        return "" if run_id in self.taken_by_others else f"token-{run_id}"

    async def get_run(self, run_id: RunId) -> Run | None:
        if run_id == 0:
            self.greeted += 1
            if self.greetings and (error := self.greetings.pop(0)):
                raise error
        else:
            self.looked_up.append(run_id)
        if run_id not in self.apps:
            return None
        return replace(PENDING, run_id=run_id, fab_id=self.apps[run_id])

    async def report_exit(
        self, token: str, exit_code: int, cause: str, *, stopped: bool = False
    ) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.reports.append((token, exit_code, cause))
        if stopped:
            self.given_back.append(token)
        self.reported.set()


class FakeProcess:
    """A runner that ends when told."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self.exit_code = 0
        self.stopped = False

    def end(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.ended.set()

    async def wait(self) -> int:
        await self.ended.wait()
        return self.exit_code

    def cause_of_exit(self) -> str:
        return f"exited with code {self.exit_code}"

    async def stop(self, grace: timedelta) -> int:
        self.stopped = True
        self.end(-15)
        return self.exit_code


class FakeLauncher:
    """Starts fake processes and remembers what for."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.processes: list[FakeProcess] = []
        self.failure: OSError | None = None
        self._started = asyncio.Condition()

    async def start(self, launch: Launch) -> FakeProcess:
        if self.failure is not None:
            raise self.failure
        process = FakeProcess(pid=1000 + len(self.launches))
        async with self._started:
            self.launches.append(launch)
            self.processes.append(process)
            self._started.notify_all()
        return process

    async def until_started(self, count: int) -> None:
        async with asyncio.timeout(60), self._started:
            await self._started.wait_for(lambda: len(self.launches) >= count)
