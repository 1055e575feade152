import contextlib
import itertools
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from flwr.auth.accounts import NO_LOGIN, Account
from flwr.core.errors import (
    ErrorKind,
    FailedPreconditionError,
    FlwrError,
    InvalidError,
    TooLargeError,
)
from flwr.core.federation import DEFAULT_FEDERATION
from flwr.core.ids import AccountId, FabHash, RunId
from flwr.core.limits import MAX_FAB_BYTES, MAX_FAB_EXPANDED_BYTES
from flwr.core.run import FINAL, NEXT, RunNotFoundError, RunNotRunningError, RunStatus
from flwr.core.run_config import UnknownConfigKeyError
from flwr.superlink import topics
from flwr.superlink.federations import FederationNotFoundError
from tests.unit.fab import given
from tests.unit.superlink.federation import Link

STRANGER = Account(AccountId("stranger"), "stranger")


@pytest.mark.row("S60")
def test_a_submitted_run_is_pending_and_wakes_the_superexec(link: Link) -> None:
    run = link.submit(override_config={"num-rounds": 5})

    stored = link.run(run.run_id)
    assert stored.status is RunStatus.PENDING
    assert stored.fab_id == "acme/tiny"
    assert stored.override_config == {"num-rounds": 5}
    assert stored.federation == DEFAULT_FEDERATION
    assert topics.APPS in link.rung
    assert "run.submitted" in link.kinds(run.run_id)


@pytest.mark.row("S56")
def test_the_same_submit_key_is_the_same_run(link: Link) -> None:
    first = link.submit(submit_key="k")
    again = link.submit(submit_key="k")

    assert again.run_id == first.run_id
    assert len(link.runs.list(NO_LOGIN)) == 1


def test_runs_without_a_submit_key_are_different(link: Link) -> None:
    assert link.submit().run_id != link.submit().run_id


def test_a_bundle_over_the_limit_is_refused(link: Link) -> None:
    with pytest.raises(TooLargeError, match=str(MAX_FAB_BYTES)):
        link.submit(fab=b"x" * (MAX_FAB_BYTES + 1))


@pytest.mark.parametrize("fab", [b"", b"no zip"])
def test_a_malformed_bundle_is_refused(link: Link, fab: bytes) -> None:
    with pytest.raises(InvalidError):
        link.submit(fab=fab)


@pytest.mark.row("F30", "F32")
@pytest.mark.parametrize(
    "files",
    [
        {"../evil.py": b"x"},
        {"/etc/evil.py": b"x"},
        {"tiny/huge.json": b"0" * (MAX_FAB_EXPANDED_BYTES + 1)},
    ],
    ids=["leaves", "absolute", "expands"],
)
def test_a_hostile_bundle_is_refused_before_anything_is_kept(
    link: Link, files: dict[str, bytes]
) -> None:
    hostile = given.fab({**given.FILES, **files}, method=zipfile.ZIP_DEFLATED)
    assert len(hostile) < MAX_FAB_BYTES
    with pytest.raises(FlwrError) as refusal:
        link.submit(fab=hostile)
    assert refusal.value.kind in {ErrorKind.INVALID, ErrorKind.TOO_LARGE}
    assert link.runs.list(NO_LOGIN) == []
    with link.store.reading() as tx:
        assert tx.fabs.unused() == []


def all_moves(link: Link, run_id: RunId) -> list[Callable[[], object]]:
    """Return everything that may move a run: launches, outcomes, losses, and a person's stop."""
    tokens: list[str] = []

    def launch() -> None:
        if token := link.launches.grant(run_id):
            tokens.append(token)
            link.launches.pull_inputs(link.hash_of(token))

    def finish(outcome: RunStatus) -> None:
        for _ in range(5):
            link.launches.update_status(run_id, outcome, "")

    def lose() -> None:
        for _ in range(20):
            for token in tokens[:1]:
                link.launches.report_exit(token, "was killed by SIGKILL")

    outcomes = [partial(finish, to) for to in (RunStatus.COMPLETED, RunStatus.FAILED)]
    return [*[launch] * 3, *outcomes * 2, *[lose] * 2, lambda: link.runs.stop(NO_LOGIN, run_id)]


def moved(link: Link, run_id: RunId) -> list[RunStatus]:
    """Return the way of a run through its states, as the event log tells it."""
    told = [k.removeprefix("run.") for k in link.kinds(run_id) if k.startswith("run.")]
    named = [name.replace("requeued", "pending") for name in told]
    return [RunStatus.PENDING, *(RunStatus(name) for name in named if name in set(RunStatus))]


@pytest.mark.row("S60")
@pytest.mark.parametrize("attempt", range(5))
def test_concurrent_calls_never_make_a_run_jump(link: Link, attempt: int) -> None:
    run_id = link.submit().run_id
    moves = all_moves(link, run_id)
    together = threading.Barrier(len(moves))

    def at_once(move: Callable[[], object]) -> None:
        together.wait(60)
        with contextlib.suppress(FlwrError):  # refused: somebody else was first
            move()

    with ThreadPoolExecutor(len(moves)) as threads:
        list(threads.map(at_once, moves))

    path = moved(link, run_id)
    assert all(to in NEXT[before] for before, to in itertools.pairwise(path)), path
    assert path[-1] in FINAL  # the stop at the latest
    assert link.run(run_id).status is path[-1]


@pytest.mark.row("S48")
def test_an_override_of_an_unknown_key_is_refused_and_leaves_nothing(link: Link) -> None:
    with pytest.raises(UnknownConfigKeyError):
        link.submit(override_config={"no-such-key": 1})
    assert link.runs.list(NO_LOGIN) == []


@pytest.mark.parametrize("name", ["", "default", DEFAULT_FEDERATION])
def test_every_name_of_the_default_federation_is_accepted(link: Link, name: str) -> None:
    assert link.submit(federation=name).federation == DEFAULT_FEDERATION


def test_an_unknown_federation_is_named(link: Link) -> None:
    with pytest.raises(FederationNotFoundError, match="Federation 'other' does not exist"):
        link.submit(federation="other")


@pytest.mark.row("S63")
def test_a_run_can_be_stopped_before_it_starts_and_only_once(link: Link) -> None:
    run = link.submit()

    assert link.runs.stop(NO_LOGIN, run.run_id).status is RunStatus.STOPPED
    assert link.launches.pending() == []
    assert link.launches.grant(run.run_id) == ""
    with pytest.raises(FailedPreconditionError):
        link.runs.stop(NO_LOGIN, run.run_id)


@pytest.mark.row("S63", "S40")
def test_stopping_a_run_ends_its_lease_and_drops_its_messages(link: Link) -> None:
    (run, token), (other, other_token) = link.running(), link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    kept = link.send(other, node.node_id)

    assert link.launches.live.find(link.hash_of(token)) is not None

    link.runs.stop(NO_LOGIN, run.run_id)

    assert link.launches.live.find(link.hash_of(token)) is None
    assert link.launches.live.find(link.hash_of(other_token)) is not None
    delivered = link.messages.deliver(node.node_id)
    assert delivered is not None
    assert delivered.envelope.message_id == kept.message_id
    with link.store.reading() as tx:
        assert not tx.objects.belongs(sent.delivery.tree.object_id, run_id=run.run_id)
    with pytest.raises(RunNotRunningError, match=r"Run is finished\. Stopped by user\."):
        link.messages.collect(run.run_id, [sent.message_id])
    assert topics.ended(run.run_id) in link.rung


@pytest.mark.row("F27", "S41")
def test_a_foreign_run_looks_like_a_missing_one(link: Link) -> None:
    run = link.submit()

    for run_id in (run.run_id, RunId(12345)):
        with pytest.raises(RunNotFoundError, match="Run ID not found"):
            link.runs.find(STRANGER, run_id)
        with pytest.raises(RunNotFoundError, match="Run ID not found"):
            link.runs.stop(STRANGER, run_id)
        with pytest.raises(RunNotFoundError, match="Run ID not found"):
            link.logs.read(STRANGER, run_id, 0.0)
    assert link.runs.list(STRANGER) == []
    assert link.runs.show_federation(STRANGER, "").runs == ()


@pytest.mark.row("S61")
def test_runs_are_listed_newest_first_up_to_a_limit(link: Link) -> None:
    ids = []
    for _ in range(3):
        link.pass_time(1)
        ids.append(link.submit().run_id)

    assert [run.run_id for run in link.runs.list(NO_LOGIN)] == ids[::-1]
    assert [run.run_id for run in link.runs.list(NO_LOGIN, limit=1)] == ids[-1:]


@pytest.mark.row("S47")
def test_nodes_get_the_bundle_of_a_running_run_only(link: Link) -> None:
    pending = link.submit()
    with pytest.raises(RunNotRunningError, match="Run is pending"):
        link.runs.fetch_fab(pending.run_id, pending.fab_hash)
    with pytest.raises(RunNotRunningError):
        link.runs.require_running(RunId(99))

    run, _ = link.running()

    assert link.runs.fetch_fab(run.run_id, run.fab_hash).content == link.fab
    with pytest.raises(InvalidError):
        link.runs.fetch_fab(run.run_id, FabHash("0" * 64))


def test_ended_and_unknown_runs_are_told_apart_from_running_ones(link: Link) -> None:
    (run, _), (stopped, _) = link.running(), link.running()
    link.runs.stop(NO_LOGIN, stopped.run_id)

    asked = [run.run_id, stopped.run_id, RunId(5)]
    assert link.runs.ended_among(asked) == [stopped.run_id, RunId(5)]


def test_every_control_call_leaves_an_event(link: Link) -> None:
    link.runs.audit(NO_LOGIN, "list-runs")
    assert "control.list-runs" in link.kinds()
