"""The Ray backend with real workers, which all tests here start in one Ray of this process."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cloudpickle
import numpy as np
import pytest

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.app.array import raw
from flwr.clientapp import ClientApp
from flwr.core.capacity import AppNeeds
from flwr.core.clock import SystemClock
from flwr.core.ids import RunId
from flwr.core.message import ErrorCode
from flwr.fab.entry import EntryReference
from flwr.simulation.backend import Answer, Job, Lost, Order, WorkerSetup
from flwr.simulation.resources import ImpossibleNeedsError
from tests.fakes.simulated_jobs import Inbox as BackendInbox
from tests.fakes.simulated_jobs import content_for
from tests.fakes.simulated_jobs import jobs as jobs_with
from tests.harness.program import eventually, processes

pytest.importorskip("ray", reason="Ray is not installed: pip install 'flwr-compose[ray]'")

from flwr.simulation.ray_backend import RayBackend  # after the look for Ray
from flwr.simulation.ray_cluster import RayCluster

CPUS, GPUS = 5, 2  # as Ray counts them: it has no look at the machine; one is for `worker`
MODEL_BYTES = 1_000_000


def make_app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        wish = str(message.content["config"]["wish"])
        if wish == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if wish == "raise":
            raise ValueError("no")
        if wish == "sleep":
            time.sleep(60)
        if wish.startswith("meet"):
            _, count, folder = wish.split(" ", 2)
            (Path(folder) / str(os.getpid())).touch()
            while len(list(Path(folder).iterdir())) < int(count):
                time.sleep(0.02)
        if wish == "print":
            sys.stdout.write(f"printed by {context.node_config['partition-id']}\n")
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        place = ConfigRecord({"pid": os.getpid(), "gpus": gpus})
        content = RecordDict({"place": place})
        if wish == "model":
            record = message.content["arrays"]
            lent = memoryview(raw(record["0"]))
            content["metrics"] = MetricRecord({"is-lent": int(lent.readonly)})
            content["arrays"] = ArrayRecord([record["0"].numpy() + 1])
        return Message(content, reply_to=message)

    return app


class Inbox(BackendInbox):
    """Knows what the ClientApps here answer."""

    def await_places(self, count: int) -> list[ConfigRecord]:
        """Return what so many ClientApps say of where they were executed."""
        return [content_of(answer)["place"] for answer in self.await_answers(count).values()]


def content_of(answer: Answer) -> RecordDict:
    assert isinstance(answer.reply, Message)
    return answer.reply.content


def jobs(*wishes: str, ttl: float = 3600.0) -> list[Job]:
    return jobs_with(*wishes, ttl=ttl, content=_content)


def _content(wish: str) -> RecordDict:
    content = content_for(wish)
    if wish == "model":
        model = np.zeros(MODEL_BYTES, dtype=np.uint8)
        content["arrays"] = ArrayRecord({"0": Array(model)})
    return content


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    opened = RayCluster({"num_gpus": GPUS}, cpus=CPUS)
    yield opened
    opened.close()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


class Backends:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.opened: list[RayBackend] = []

    def open(
        self,
        needs: AppNeeds | None = None,
        *,
        workers: int | None = 1,
        app: EntryReference | bytes | None = None,
        path: tuple[str, ...] = (),
    ) -> RayBackend:
        setup = WorkerSetup(
            app=cloudpickle.dumps(make_app()) if app is None else app,
            run_id=RunId(9),
            num_partitions=10,
            import_path=path,
        )
        order = Order(setup=setup, nodes=200, needs=needs or AppNeeds(), workers=workers)
        backend = RayBackend(order, SystemClock())
        self.opened.append(backend)
        backend.start(self._inbox.deliver)
        return backend


@pytest.fixture
def backends(cluster: RayCluster, inbox: Inbox) -> Iterator[Backends]:
    made = Backends(inbox)
    yield made
    for backend in made.opened:
        backend.close()


@dataclass(frozen=True)
class Common:
    backend: RayBackend
    inbox: Inbox

    def answer(self, *wishes: str, ttl: float = 3600.0) -> dict[str, Answer]:
        self.backend.submit(jobs(*wishes, ttl=ttl))
        return self.inbox.await_answers(len(wishes))


@pytest.fixture(scope="module")
def worker(cluster: RayCluster) -> Iterator[Common]:
    """One worker for all tests that leave it alive."""
    inbox = Inbox()
    made = Backends(inbox)
    yield Common(made.open(), inbox)
    for backend in made.opened:
        backend.close()


@pytest.mark.row("S74", "S76")
def test_every_job_is_answered_by_the_workers_there_are(backends: Backends, inbox: Inbox) -> None:
    backend = backends.open(workers=2)
    backend.submit(jobs(*["work"] * 300))
    places = inbox.await_places(300)
    assert 1 <= len({place["pid"] for place in places}) <= 2
    assert (backend.plan.workers, backend.plan.backend) == (2, "ray")


@pytest.mark.row("S74")
@pytest.mark.parametrize(
    ("needs", "at_a_time"),
    [(AppNeeds(cpus=2), 2), (AppNeeds(cpus=1, gpus=1), 2)],
)
def test_resources_say_how_many_clients_work_at_a_time(
    backends: Backends, inbox: Inbox, tmp_path: Path, needs: AppNeeds, at_a_time: int
) -> None:
    backend = backends.open(needs, workers=None)
    assert backend.plan.workers == at_a_time
    backend.submit(jobs(*[f"meet {at_a_time} {tmp_path}"] * 8))
    places = inbox.await_places(8)
    assert len({place["pid"] for place in places}) == at_a_time


@pytest.mark.row("S74")
def test_a_client_sees_the_gpus_set_aside_for_it_and_no_other(
    backends: Backends, inbox: Inbox, tmp_path: Path
) -> None:
    backend = backends.open(AppNeeds(gpus=0.5), workers=None)
    backend.submit(jobs(*[f"meet 4 {tmp_path}"] * 8))
    gpu_of = {place["pid"]: place["gpus"] for place in inbox.await_places(8)}
    assert Counter(gpu_of.values()) == {"0": 2, "1": 2}


@pytest.mark.row("S74")
def test_without_gpus_wanted_none_is_seen(worker: Common) -> None:
    answers = worker.answer("work")
    assert content_of(answers["0"])["place"]["gpus"] in {"", "none"}


@pytest.mark.row("S74")
@pytest.mark.parametrize(
    ("needs", "cause"),
    [
        (AppNeeds(cpus=6), "6 CPUs per ClientApp wanted, this machine has 5 CPUs, 2 GPUs"),
        (AppNeeds(gpus=3), "3 GPUs per ClientApp wanted, this machine has 5 CPUs, 2 GPUs"),
        (AppNeeds(memory=10**15), "1000000000 MB per ClientApp wanted"),
    ],
)
def test_an_impossible_request_is_refused_before_anything_starts(
    backends: Backends, needs: AppNeeds, cause: str
) -> None:
    with pytest.raises(ImpossibleNeedsError, match=cause):
        backends.open(needs, workers=None)


def test_a_worker_that_dies_loses_what_it_held_and_who_is_sent_again_goes_alone(
    backends: Backends, inbox: Inbox
) -> None:
    backend = backends.open()
    sent = {job.metadata.message_id: job for job in jobs(*["work"] * 30, "die", *["work"] * 30)}
    backend.submit(sent.values())
    answers = inbox.await_answers(61)
    lost = [key for key, answer in answers.items() if isinstance(answer.reply, Lost)]
    assert "30" in lost
    backend.submit(sent[key] for key in lost)
    again = inbox.await_answers(len(lost))
    assert [k for k, answer in again.items() if isinstance(answer.reply, Lost)] == ["30"]
    assert "ended" in str(again["30"].reply)


def test_a_worker_busy_beyond_its_message_s_life_is_replaced(
    backends: Backends, inbox: Inbox
) -> None:
    backend = backends.open()
    backend.submit(jobs("work"))
    inbox.await_answers(1)
    backend.submit(jobs("sleep", ttl=3.0))
    assert isinstance(inbox.await_answers(1)["0"].reply, Lost)
    backend.submit(jobs("work"))
    assert isinstance(inbox.await_answers(1)["0"].reply, Message)


def test_what_has_expired_in_the_queue_is_not_begun(worker: Common) -> None:
    for answer in worker.answer("die", "die", ttl=-1.0).values():
        assert isinstance(answer.reply, Error)
        assert answer.reply.code == ErrorCode.MESSAGE_UNAVAILABLE


def test_an_exception_is_an_error_reply_in_a_line(worker: Common) -> None:
    reply = worker.answer("raise")["0"].reply
    assert isinstance(reply, Message)
    assert reply.error.reason == "<class 'ValueError'>:<'no'>"


@pytest.mark.long
def test_an_app_that_kills_its_importer_does_not_keep_the_run_waiting(
    backends: Backends, inbox: Inbox, tmp_path: Path
) -> None:
    (tmp_path / "deadly_ray.py").write_text("import os; os._exit(9)")
    app = EntryReference("deadly_ray", "app")
    backends.open(app=app, path=(str(tmp_path),)).submit(jobs("work", "work"))
    for answer in inbox.await_answers(2).values():
        assert isinstance(answer.reply, Error)
        assert "no worker can be started" in str(answer.reply.reason)


def test_a_model_is_put_into_the_object_store_once_and_read_there(
    worker: Common, cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[int] = []
    store = cluster.ray.put

    def noting_put(value: Any) -> Any:
        put.append(sum(len(memoryview(buffer)) for buffer in value[1]))
        return store(value)

    monkeypatch.setattr(cluster.ray, "put", noting_put)
    for answer in worker.answer(*["model"] * 40).values():
        assert content_of(answer)["metrics"]["is-lent"] == 1
        assert int(content_of(answer)["arrays"]["0"].numpy().sum()) == MODEL_BYTES
    assert len(put) == 1
    assert MODEL_BYTES <= put[0] < MODEL_BYTES + 1000


def test_small_contents_travel_with_the_call(
    worker: Common, cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.ray, "put", None)
    assert all("place" in content_of(a) for a in worker.answer(*["work"] * 5).values())


def test_what_clients_print_is_shown_when_they_have_answered(
    worker: Common, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.answer("print", "print")
    assert sorted(capsys.readouterr().out.split("\n")) == ["", "printed by 0", "printed by 1"]


def test_closing_ends_busy_and_idle_workers(
    backends: Backends, inbox: Inbox, tmp_path: Path
) -> None:
    backend = backends.open(workers=2)
    backend.submit(jobs(*[f"meet 2 {tmp_path}"] * 2))
    pids = {int(str(place["pid"])) for place in inbox.await_places(2)}
    backend.submit(jobs("sleep"))
    time.sleep(0.2)
    backend.close()
    eventually(lambda: not pids & processes().keys(), timeout=60)


def test_a_reply_that_cannot_be_read_is_an_error(
    worker: Common, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = Mock(side_effect=ValueError("by nobody"))
    monkeypatch.setattr("flwr.simulation.backend.unpack", unreadable)
    reply = worker.answer("work")["0"].reply
    assert isinstance(reply, Error)
    assert "by nobody" in str(reply.reason)
