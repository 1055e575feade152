"""The process pool with real workers."""

import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.core.capacity import AppNeeds
from flwr.core.clock import SystemClock
from flwr.core.ids import RunId
from flwr.core.message import ErrorCode
from flwr.fab.entry import EntryReference
from flwr.simulation.backend import Answer, Lost, Order, WorkerSetup
from flwr.simulation.packing import pack
from flwr.simulation.pool_backend import PoolBackend
from tests.fakes.simulated_jobs import Inbox, jobs
from tests.harness.program import eventually, processes

pytestmark = pytest.mark.slow


def make_app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        wish = str(message.content["config"]["wish"])
        if wish == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if wish == "exit":
            os._exit(5)
        if wish == "raise":
            context.state["spoilt"] = ConfigRecord()
            raise ValueError("no")
        if wish == "echo":
            return Message(RecordDict({"arrays": message.content["arrays"]}), reply_to=message)
        if wish == "sleep":
            time.sleep(60)
        if wish == "remember":
            context.state["seen"] = ConfigRecord({"partition": context.node_config["partition-id"]})
        metrics = MetricRecord(
            {"pid": os.getpid(), "node": int(context.node_config["partition-id"])}
        )
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def pools(inbox: Inbox) -> Iterator["Pools"]:
    opened = Pools(inbox)
    yield opened
    for pool in opened.pools:
        pool.close()


class Pools:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.pools: list[PoolBackend] = []

    def open(
        self,
        app: EntryReference | bytes | None = None,
        *,
        workers: int = 1,
        path: Sequence[str] = (),
        fresh: bool = False,
    ) -> PoolBackend:
        pickled = cloudpickle.dumps(make_app()) if app is None else app
        setup = WorkerSetup(
            app=pickled,
            run_id=RunId(9),
            num_partitions=10,
            import_path=(*path, *sys.path),
            starts_fresh=fresh,
        )
        pool = PoolBackend(Order(setup=setup, nodes=10, workers=workers), SystemClock())
        pool.start(self._inbox.deliver)
        self.pools.append(pool)
        return pool


def is_reapable(pid: int) -> bool:
    """Tell whether all threads of a killed process have ended, and with them its pipes."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def reply_of(answer: Answer) -> Message:
    assert isinstance(answer.reply, Message)
    return answer.reply


def test_every_job_is_answered_by_the_workers_there_are(pools: Pools, inbox: Inbox) -> None:
    pool = pools.open(workers=2)
    pool.submit(jobs(*["work"] * 100))
    answers = inbox.await_answers(100)
    metrics = {k: reply_of(a).content.metric_records["metrics"] for k, a in answers.items()}
    assert {key: m["node"] for key, m in metrics.items()} == {str(n): n for n in range(100)}
    assert {m["pid"] for m in metrics.values()} <= set(pool.pids)
    assert all(reply_of(a).metadata.reply_to_message_id == key for key, a in answers.items())


@pytest.mark.row("S75")
@pytest.mark.parametrize(
    ("wish", "cause"),
    [("die", "was killed by SIGKILL"), ("exit", "exited with code 5")],
)
def test_a_worker_that_dies_costs_one_job(
    pools: Pools, inbox: Inbox, wish: str, cause: str
) -> None:
    pools.open().submit(jobs("work", "work", wish, "work", "work", "work"))
    answers = inbox.await_answers(6)
    failed = {
        key: answer.reply
        for key, answer in answers.items()
        if not isinstance(answer.reply, Message)
    }
    assert failed == {"2": Lost(cause)}


def test_a_worker_that_dies_idle_costs_nothing(pools: Pools, inbox: Inbox) -> None:
    pool = pools.open()
    pool.submit(jobs("work"))
    inbox.await_answers(1)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_reapable(pid), timeout=60)
    pool.submit(jobs("work", "work"))
    assert all(isinstance(answer.reply, Message) for answer in inbox.await_answers(2).values())


def test_an_exception_is_an_error_reply_and_keeps_the_state(pools: Pools, inbox: Inbox) -> None:
    pools.open().submit(jobs("raise", "remember", "work"))
    answers = inbox.await_answers(3)
    error = reply_of(answers["0"]).error
    assert error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert error.reason == "<class 'ValueError'>:<'no'>"
    assert answers["0"].state is answers["2"].state is None
    kept = answers["1"].state
    assert kept is not None
    assert pickle.loads(kept)["seen"]["partition"] == 1  # noqa: S301  # from our own worker


def test_an_app_that_cannot_be_imported_is_said_so_each_time(
    pools: Pools, inbox: Inbox, tmp_path: Path
) -> None:
    (tmp_path / "broken_here.py").write_text("1 / 0")
    pools.open(EntryReference("broken_here", "app"), path=[str(tmp_path)]).submit(
        jobs("work", "work")
    )
    for answer in inbox.await_answers(2).values():
        error = reply_of(answer).error
        assert error.code == ErrorCode.LOAD_CLIENT_APP_EXCEPTION
        assert "ZeroDivisionError" in str(error.reason)


def test_an_app_that_kills_its_importer_does_not_keep_the_run_waiting(
    pools: Pools, inbox: Inbox, tmp_path: Path
) -> None:
    (tmp_path / "deadly_here.py").write_text("import os; os._exit(9)")
    pools.open(EntryReference("deadly_here", "app"), workers=2, path=[str(tmp_path)]).submit(
        jobs("work", "work", "work")
    )
    for answer in inbox.await_answers(3).values():
        assert isinstance(answer.reply, Error)
        assert answer.reply.code == ErrorCode.CLIENT_APP_CRASHED
        assert "exited with code 9" in str(answer.reply.reason)


def test_a_worker_busy_beyond_its_message_s_life_is_replaced(pools: Pools, inbox: Inbox) -> None:
    pool = pools.open()
    pool.submit(jobs("work"))
    inbox.await_answers(1)
    pool.submit(jobs("sleep", ttl=2.0))
    assert isinstance(inbox.await_answers(1)["0"].reply, Lost)
    pool.submit(jobs("work"))
    assert isinstance(inbox.await_answers(1)["0"].reply, Message)


def test_what_has_expired_in_the_queue_is_not_begun(pools: Pools, inbox: Inbox) -> None:
    pool = pools.open()
    pool.submit(jobs("die", ttl=-1.0))
    reply = inbox.await_answers(1)["0"].reply
    assert isinstance(reply, Error)
    assert reply.code == ErrorCode.MESSAGE_UNAVAILABLE


def test_closing_ends_busy_and_idle_workers(pools: Pools, inbox: Inbox) -> None:
    pool = pools.open(workers=2)
    pool.submit(jobs("work"))
    inbox.await_answers(1)
    eventually(lambda: len(pool.pids) == 2, timeout=60)
    pids = set(pool.pids)
    pool.submit(jobs("sleep"))
    time.sleep(0.2)
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 30, "it would sleep for 60"
    assert not pids & processes().keys()
    assert pool.pids == []


def test_a_content_is_freed_when_all_its_jobs_are_done(pools: Pools, inbox: Inbox) -> None:
    pool = pools.open(workers=2)
    arrays = ArrayRecord([np.zeros(200_000)])
    content = pack(RecordDict({"config": ConfigRecord({"wish": "echo"}), "arrays": arrays}))
    pool.submit(replace(job, content=content) for job in jobs(*["echo"] * 40))
    del content
    answers = inbox.await_answers(40)
    assert all(reply_of(a).content["arrays"] == arrays for a in answers.values())
    eventually(lambda: pool.shared_bytes == 0, timeout=60)


FRESH_APP = """
import os, sys, threading
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

{import_time}
imported_by, calls, app = os.getpid(), [], ClientApp()

@app.train()
def train(message, context):
    wish = message.content["config"]["wish"]
    if wish == "exit":
        os._exit(5)
    calls.append(1)
    os.environ["LEFT"] = os.environ.get("LEFT", "") + "x"
    context.state["seen"] = ConfigRecord({"n": 1})
    found = {"calls": len(calls), "left": len(os.environ["LEFT"]), "importer": imported_by}
    found |= {"pid": os.getpid()}
    content = RecordDict({"metrics": MetricRecord(found)})
    if "arrays" in message.content:
        content["arrays"] = message.content["arrays"]
    return Message(content, reply_to=message)
"""


def open_fresh(pools: Pools, folder: Path, *, import_time: str = "") -> PoolBackend:
    name = f"fresh_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(FRESH_APP.replace("{import_time}", import_time))
    return pools.open(EntryReference(name, "app"), path=[str(folder)], fresh=True)


@pytest.mark.row("S77")
def test_with_a_fresh_start_nothing_but_the_context_survives_a_message(
    pools: Pools, inbox: Inbox, tmp_path: Path
) -> None:
    pool = open_fresh(pools, tmp_path)
    pool.submit(jobs(*["work"] * 10))
    answers = inbox.await_answers(10)
    metrics = [reply_of(a).content.metric_records["metrics"] for a in answers.values()]
    assert {(m["calls"], m["left"]) for m in metrics} == {(1, 1)}
    assert {m["importer"] for m in metrics} == set(pool.pids)  # imported once
    assert len({m["pid"] for m in metrics}) == 10
    assert all(answer.state is not None for answer in answers.values())


def test_large_models_pass_through_fresh_processes(
    pools: Pools, inbox: Inbox, tmp_path: Path
) -> None:
    pool = open_fresh(pools, tmp_path)
    arrays = ArrayRecord([np.arange(200_000.0), np.ones(3)])
    content = pack(RecordDict({"config": ConfigRecord({"wish": "work"}), "arrays": arrays}))
    pool.submit(replace(job, content=content) for job in jobs(*["work"] * 5))
    answers = inbox.await_answers(5)
    assert all(reply_of(answer).content["arrays"] == arrays for answer in answers.values())


def test_a_fresh_process_that_dies_costs_its_job(
    pools: Pools, inbox: Inbox, tmp_path: Path
) -> None:
    open_fresh(pools, tmp_path).submit(jobs("work", "exit", "work"))
    answers = inbox.await_answers(3)
    assert answers["1"].reply == Lost("exited with code 5")
    assert isinstance(answers["0"].reply, Message)
    assert isinstance(answers["2"].reply, Message)


def test_an_app_that_must_not_be_forked_gets_a_new_interpreter_for_every_message(
    pools: Pools, inbox: Inbox, tmp_path: Path
) -> None:
    thread = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    open_fresh(pools, tmp_path, import_time=thread).submit(jobs("work", "work"))
    answers = inbox.await_answers(2)
    metrics = [reply_of(a).content.metric_records["metrics"] for a in answers.values()]
    assert {m["calls"] for m in metrics} == {1}
    assert len({m["importer"] for m in metrics}) == 2


@pytest.mark.row("S74")
def test_a_worker_sees_its_share_of_the_gpus_only(
    monkeypatch: pytest.MonkeyPatch, inbox: Inbox
) -> None:
    monkeypatch.setattr("flwr.simulation.pool_backend.available_gpus", lambda: ("3", "5"))
    setup = WorkerSetup(app=cloudpickle.dumps(make_app()), run_id=RunId(9), num_partitions=10)
    needs = AppNeeds(cpus=0.1, gpus=1)
    pool = PoolBackend(Order(setup=setup, nodes=10, needs=needs), SystemClock())
    pool.start(inbox.deliver)
    try:
        eventually(lambda: len(pool.pids) == 2, timeout=60)
        seen = {gpus_of(pid) for pid in pool.pids}
    finally:
        pool.close()
    assert seen == {"3", "5"}


def gpus_of(pid: int) -> str:
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (value,) = (e.partition(b"=")[2] for e in environment if e.startswith(b"CUDA_VISIBLE_DEVICES="))
    return value.decode()
