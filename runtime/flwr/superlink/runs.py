"""Operations on runs as a person sees them: submit, list, stop.

What an app process does to its run (launch, heartbeat, finish) is in ``launches``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flwr.auth.accounts import Account
from flwr.core.clock import Clock
from flwr.core.errors import FailedPreconditionError, InvalidError, NotFoundError
from flwr.core.ids import FabHash, RunId, new_run_id
from flwr.core.limits import LIST_PAGE, MAX_FAB_BYTES
from flwr.core.run import (
    Run,
    RunNotFoundError,
    RunNotRunningError,
    RunStatus,
    RunType,
    require_running,
)
from flwr.core.run_config import Config, fuse
from flwr.core.simulation import SimulationConfig
from flwr.fab.errors import FabTooLargeError
from flwr.fab.verify import VerifiedFab, verify_fab
from flwr.store.fabs import Fab
from flwr.store.remembered import Memory
from flwr.store.store import Store, Tx
from flwr.superlink import topics
from flwr.superlink.endings import end_run
from flwr.superlink.federations import (
    Federation,
    NotSimulatedError,
    require_federation,
)
from flwr.superlink.simulations import change_settings, current_settings

logger = logging.getLogger(__name__)

_MAX_SUBMIT_KEY: Final = 256  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One request to run an app."""

    fab: bytes
    override_config: Config
    federation: str = ""
    simulation: SimulationConfig | None = None
    submit_key: str | None = None


class Runs:
    """Submit, look up and stop runs."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        run_type: RunType = RunType.SERVERAPP,
    ) -> None:
        self._store, self._clock = store, clock
        self._run_type = run_type
        self._live: Memory[RunId, bool] = Memory(store, topics.ended)

    def submit(self, account: Account, wanted: Submission) -> Run:
        """Accept one run; the same submit key of the same account gives the same run.

        Raises:
            FabTooLargeError: the bundle is larger than the contract allows.
            InvalidError: no bundle, or the bundle is malformed.
            UnknownConfigKeyError: an override names a key the app does not have.
            FederationNotFoundError: there is no such federation.
        """
        federation = require_federation(wanted.federation)
        bundle = self._check_bundle(wanted)
        if wanted.submit_key is not None and len(wanted.submit_key) > _MAX_SUBMIT_KEY:
            raise InvalidError(f"the submit key is longer than {_MAX_SUBMIT_KEY} characters")
        with self._store.transaction() as tx:
            earlier = self._find_same_submission(tx, account, wanted, bundle)
            if earlier is not None:
                return earlier
            run = self._new_run(tx, account, wanted, bundle, federation)
            tx.fabs.put(bundle.fab_hash, wanted.fab, {})
            tx.runs.add(run)
            tx.events.append(
                at=run.pending_at,
                kind="run.submitted",
                actor=account.name,
                run_id=run.run_id,
                details=_submission_details(run),
            )
            tx.notify(topics.APPS)
        logger.info(
            "Run submitted",
            extra={"event": "run-submitted", "run_id": run.run_id, "fab_id": run.fab_id},
        )
        return run

    def stop(self, account: Account, run_id: RunId) -> Run:
        """Stop a run before or while it runs.

        Raises:
            RunNotFoundError: unknown, or somebody else's.
            FailedPreconditionError: it is finished already.
        """
        with self._store.transaction() as tx:
            run = _require_visible(tx, account, run_id)
            if run.is_final:
                raise FailedPreconditionError(f"Run ID {run_id} is already finished")
            return end_run(
                tx,
                run,
                RunStatus.STOPPED,
                at=self._clock.now(),
                actor=account.name,
                details="Stopped by user.",
            )

    def find(self, account: Account, run_id: RunId) -> Run:
        """Return one run.

        Raises:
            RunNotFoundError: unknown, or somebody else's.
        """
        with self._store.reading() as tx:
            return _require_visible(tx, account, run_id)

    def list(self, account: Account, *, limit: int | None = None) -> list[Run]:
        """Return the account's runs, newest first, at most one page."""
        count = min(limit, LIST_PAGE) if limit else LIST_PAGE
        with self._store.reading() as tx:
            return tx.runs.list(account_id=account.account_id, limit=count)

    def any_started(self) -> bool:
        """Tell whether some run, whoever's, has been launched and has not ended."""
        with self._store.reading() as tx:
            return any(run.status is not RunStatus.PENDING for run in tx.runs.unfinished())

    def show_federation(self, account: Account, name: str) -> Federation:
        """Return the federation with its nodes and the account's runs.

        Raises:
            FederationNotFoundError: there is none of that name.
        """
        full_name = require_federation(name)
        with self._store.reading() as tx:
            return Federation(
                name=full_name,
                description="Every node and every run of this SuperLink",
                nodes=tuple(tx.nodes.list()),
                runs=tuple(tx.runs.list(account_id=account.account_id, limit=LIST_PAGE)),
                config=current_settings(tx) if self._simulates else None,
            )

    def configure_simulation(self, account: Account, name: str, said: SimulationConfig) -> None:
        """Change what runs of a simulated federation get that say nothing themselves.

        Raises:
            FederationNotFoundError: there is none of that name.
            NotSimulatedError: its runs are executed by SuperNodes.
        """
        full_name = require_federation(name)
        if not self._simulates:
            raise NotSimulatedError(full_name)
        with self._store.transaction() as tx:
            change_settings(tx, said)
            tx.events.append(
                at=self._clock.now(),
                kind="federation.simulation-configured",
                actor=account.name,
                details={"federation": full_name},
            )

    def lookup(self, run_id: RunId) -> Run | None:
        """Return any run, None when there is none such; for SuperExecs, which launch for all."""
        with self._store.reading() as tx:
            return tx.runs.find(run_id)

    def require_running(self, run_id: RunId) -> Run:
        """Return a run a node works for; to nodes an unknown run is a finished one.

        Raises:
            RunNotRunningError: the run is not running.
        """
        run = self.lookup(run_id)
        if run is None:
            raise RunNotRunningError(RunStatus.FAILED)
        return require_running(run)

    def fetch_fab(self, run_id: RunId, fab_hash: FabHash) -> Fab:
        """Return the bundle of a running run.

        Raises:
            RunNotRunningError: the run is not running.
            InvalidError: the run has another bundle.
        """
        run = self.require_running(run_id)
        if run.fab_hash != fab_hash:
            raise InvalidError(f"run {run_id} has the FAB {run.fab_hash}, not {fab_hash[:80]!r}")
        with self._store.reading() as tx:
            fab = tx.fabs.find(run.fab_hash)
        if fab is None:
            raise NotFoundError(f"the FAB of run {run_id} is gone")
        return fab

    def ended_among(self, run_ids: Sequence[RunId]) -> Sequence[RunId]:
        """Return those of ``run_ids`` that have ended or never were."""
        looks = [self._live.begin(run_id) for run_id in run_ids]
        with self._store.reading() as tx:
            known = [(run_id, tx.runs.find(run_id)) for run_id in run_ids]
        ended = [run_id for run_id, run in known if run is None or run.is_final]
        for run_id, look in zip(run_ids, looks, strict=True):
            if run_id not in ended:
                self._live.keep(look, True)
        return ended

    def knows_live(self, run_ids: Sequence[RunId]) -> bool:
        """Tell, without a look into the store, that none of ``run_ids`` has ended."""
        return all(self._live.recall(run_id) for run_id in run_ids)

    def audit(
        self, account: Account, call: str, run_id: RunId | None = None, **details: Any
    ) -> None:
        """Record a control call that changes nothing; it fails when it cannot be recorded."""
        with self._store.transaction() as tx:
            tx.events.append(
                at=self._clock.now(),
                kind=f"control.{call}",
                actor=account.name,
                run_id=run_id,
                details=details,
            )

    def _check_bundle(self, wanted: Submission) -> VerifiedFab:
        if not wanted.fab:
            raise InvalidError("the request carries no FAB", hint="send the bundle itself")
        if len(wanted.fab) > MAX_FAB_BYTES:
            raise FabTooLargeError(f"{len(wanted.fab)} bytes, the limit is {MAX_FAB_BYTES}")
        bundle = verify_fab(wanted.fab)
        fuse(bundle.manifest.config, wanted.override_config)
        return bundle

    def _find_same_submission(
        self, tx: Tx, account: Account, wanted: Submission, bundle: VerifiedFab
    ) -> Run | None:
        if wanted.submit_key is None:
            return None
        earlier = tx.runs.find_by_submit_key(account.account_id, wanted.submit_key)
        if earlier is not None and earlier.fab_hash != bundle.fab_hash:
            raise FailedPreconditionError(
                f"submit key {wanted.submit_key!r} was used for run {earlier.run_id} "
                "with another FAB",
                hint="use a new submit key for a new submission",
            )
        return earlier

    @property
    def _simulates(self) -> bool:
        return self._run_type is RunType.SIMULATION

    def _new_run(
        self, tx: Tx, account: Account, wanted: Submission, bundle: VerifiedFab, federation: str
    ) -> Run:
        simulation = None
        if self._simulates:
            said = wanted.simulation or SimulationConfig()
            simulation = current_settings(tx).overridden_by(said)
        return Run(
            run_id=new_run_id(),
            fab_id=bundle.manifest.fab_id,
            fab_version=bundle.manifest.version,
            fab_hash=bundle.fab_hash,
            override_config=wanted.override_config,
            federation=federation,
            account_id=account.account_id,
            account_name=account.name,
            run_type=self._run_type,
            pending_at=self._clock.now(),
            simulation=simulation,
            submit_key=wanted.submit_key,
            origin=bundle.manifest.origin,
        )


def _submission_details(run: Run) -> dict[str, str]:
    details = {"fab_id": run.fab_id, "fab_hash": run.fab_hash, "federation": run.federation}
    if run.origin is not None:
        details["commit"] = run.origin.commit
    return details


def _require_visible(tx: Tx, account: Account, run_id: RunId) -> Run:
    """Return the run; a foreign one looks exactly like a missing one."""
    run = tx.runs.find(run_id)
    if run is None or run.account_id != account.account_id:
        raise RunNotFoundError(run_id)
    return run
