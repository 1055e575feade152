"""Who may begin, in one executor and in several that share a queue."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flwr.core.capacity import AppNeeds, Machine
from flwr.core.clock import SystemClock
from flwr.core.errors import FailedPreconditionError
from flwr.runner.in_executor import Permit
from flwr.shell.resource_settings import Room
from flwr.superexec.admission import Admission, OwnAdmission, Queue
from flwr.superexec.ledger import Ledger
from flwr.superexec.shared_queue import SharedAdmission

Opened = Callable[[Room, Path], AbstractAsyncContextManager[Admission]]

ONE_OF_TWO = Room(
    apps=2,
    needs=AppNeeds(cpus=1),
    machine=Machine(cpus=2),
    gpus=(),
    assigns_gpus=False,
    shared_by=None,
)
HALF_A_GPU = replace(
    ONE_OF_TWO,
    needs=AppNeeds(cpus=0, gpus=0.5),
    machine=Machine(cpus=2, gpus=1),
    gpus=("7",),
    assigns_gpus=True,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="q-") as name:  # a socket's name must be short
        yield Path(name)


@asynccontextmanager
async def alone(room: Room, _: Path) -> AsyncIterator[Admission]:
    yield OwnAdmission(room, SystemClock())


@asynccontextmanager
async def shared(room: Room, folder: Path) -> AsyncIterator[Admission]:
    async with SharedAdmission(folder, room, SystemClock()) as admission:
        yield admission


def scenario(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(bounded())


class App:
    """One that waits, runs until told, and ends."""

    def __init__(self, admission: Admission) -> None:
        self.began, self.ends = asyncio.Event(), asyncio.Event()
        self.permit: Permit | None = None
        self.task = asyncio.create_task(self._live(admission))

    async def _live(self, admission: Admission) -> None:
        async with admission.admitted() as self.permit:
            self.began.set()
            await self.ends.wait()

    async def end(self) -> None:
        self.ends.set()
        await self.task


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0.001)


@pytest.mark.row("F17")
@pytest.mark.parametrize("opened", [alone, shared])
def test_who_asks_first_begins_first(
    opened: Opened,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")

    async def body() -> None:
        async with opened(ONE_OF_TWO, folder) as admission:
            apps = []
            for _ in range(4):
                apps.append(App(admission))
                await turns()
            assert [app.began.is_set() for app in apps] == [True, True, False, False]
            await apps[1].end()
            await apps[2].began.wait()
            assert not apps[3].began.is_set()
            assert [app.permit and app.permit.has_waited for app in apps[1:3]] == [False, True]
            for app in (apps[0], *apps[2:]):
                await app.end()

    scenario(body)
    causes = [getattr(record, "cause", None) for record in caplog.records]
    assert causes.count("waiting for 1 CPU: 2 of 2 taken") == 2


@pytest.mark.parametrize("opened", [alone, shared])
def test_who_no_longer_waits_does_not_keep_others_waiting(opened: Opened, folder: Path) -> None:
    async def body() -> None:
        async with opened(ONE_OF_TWO, folder) as admission:
            first, second, third, fourth = (App(admission) for _ in range(4))
            await turns()
            third.task.cancel()
            await turns()
            await first.end()
            await fourth.began.wait()
            for app in (second, fourth):
                await app.end()

    scenario(body)


@pytest.mark.parametrize("opened", [alone, shared])
def test_apps_see_the_gpus_they_were_given_and_no_others(opened: Opened, folder: Path) -> None:
    async def body() -> None:
        for room, seen in (
            (HALF_A_GPU, {"CUDA_VISIBLE_DEVICES": "7"}),
            (replace(HALF_A_GPU, needs=AppNeeds()), {"CUDA_VISIBLE_DEVICES": ""}),
            (ONE_OF_TWO, {}),
        ):
            async with opened(room, folder / str(room.needs)) as admission:
                for _ in range(3):  # one after another: each gives back what it had
                    async with admission.admitted() as permit:
                        assert permit.environment == seen

    scenario(body)


def test_a_large_need_is_not_passed_by_small_ones() -> None:
    async def body() -> None:
        queue = Queue(Ledger(Machine(cpus=2)))
        running = queue.join(AppNeeds(cpus=1), 1)
        large, small = queue.join(AppNeeds(cpus=2), 2), queue.join(AppNeeds(cpus=1), 3)
        assert not small.share.done()
        queue.leave(running)
        assert (large.share.done(), small.share.done()) == (True, False)
        queue.leave(large)
        assert small.share.done()

    scenario(body)


@pytest.mark.row("F17")
def test_executors_with_one_directory_count_together(folder: Path) -> None:
    async def body() -> None:
        async with AsyncExitStack() as stack:
            sites = [await stack.enter_async_context(shared(ONE_OF_TWO, folder)) for _ in range(4)]
            apps = [App(site) for site in sites]
            await turns(60)
            assert sum(app.began.is_set() for app in apps) == 2
            for app in apps:
                app.ends.set()
            await asyncio.gather(*(app.task for app in apps))
            assert all(app.began.is_set() for app in apps)

    scenario(body)


def test_the_queue_outlives_who_kept_it(folder: Path) -> None:
    async def body() -> None:
        async with shared(ONE_OF_TWO, folder) as later:
            async with shared(ONE_OF_TWO, folder) as keeper:
                apps = [App(keeper)]
                await apps[0].began.wait()
                apps += [App(later), App(later)]
                await apps[1].began.wait()
                await turns()
                await apps[0].end()
                await apps[2].began.wait()
                apps.append(App(later))
                await turns()
                assert not apps[3].began.is_set()
            await turns(60)  # the keeper is gone, two apps run on
            assert not apps[3].began.is_set()
            await apps[1].end()
            await apps[3].began.wait()
            for app in apps[2:]:
                await app.end()

    scenario(body)


def test_what_this_machine_never_has_is_said(folder: Path) -> None:
    async def body() -> None:
        greedy = replace(ONE_OF_TWO, needs=AppNeeds(cpus=3))
        async with (
            shared(ONE_OF_TWO, folder) as keeper,
            keeper.admitted(),
            shared(greedy, folder) as admission,
        ):
            with pytest.raises(FailedPreconditionError, match="never has 3 CPUs"):
                async with admission.admitted():
                    pass

    scenario(body)


def test_a_directory_that_cannot_be_used_is_said(folder: Path) -> None:
    async def body() -> None:
        (folder / "file").write_text("")
        async with shared(ONE_OF_TWO, folder / "file") as admission:
            with pytest.raises(FailedPreconditionError, match="cannot count together"):
                async with admission.admitted():
                    pass

    scenario(body)
