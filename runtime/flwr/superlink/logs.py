"""Operations on the log of a run: append what an app wrote, read on from where a reader stopped."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flwr.auth.accounts import Account
from flwr.core.clock import Clock
from flwr.core.ids import NodeId, RunId
from flwr.core.limits import MAX_LOG_CHUNK_BYTES
from flwr.core.run import RunNotFoundError
from flwr.store.durability import Durability
from flwr.store.logs import LogChunk
from flwr.store.store import Store
from flwr.superlink import topics
from flwr.superlink.running import require_running_for_node

_PAGE: Final = 4096  # chunks answered at once: `flwr log --show` of old CLIs reads one answer only
_CHUNK_CHARS: Final = MAX_LOG_CHUNK_BYTES // 4  # a character is at most four bytes


@dataclass(frozen=True, slots=True)
class LogPage:
    """The next chunks of a log, and whether the log can still grow."""

    chunks: list[LogChunk]
    is_last: bool


class Logs:
    """Append to and read the logs of runs."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def append(self, run_id: RunId, fragments: Iterable[str]) -> None:
        """Append fragments of a ServerApp's output, joined without separators.

        The store drops what exceeds the run's limit, with a note.
        """
        self._append(run_id, "".join(fragments))

    def append_from_node(self, node_id: NodeId, run_id: RunId, fragments: Iterable[str]) -> None:
        """Append fragments of a ClientApp's output, sent by a site that shares logs.

        Raises:
            RunNotRunningError: the run is not running.
        """
        with self._store.reading() as tx:
            require_running_for_node(tx, run_id)
        prefix = f"[node {node_id}] "
        lines = "".join(fragments).splitlines(keepends=True)
        self._append(run_id, "".join(prefix + line for line in lines))

    def read(self, account: Account, run_id: RunId, after: float) -> LogPage:
        """Return chunks stamped later than ``after``.

        Raises:
            RunNotFoundError: unknown, or somebody else's.
        """
        with self._store.reading() as tx:
            run = tx.runs.find(run_id)
            if run is None or run.account_id != account.account_id:
                raise RunNotFoundError(run_id)
            chunks = tx.logs.after(run_id, after, _PAGE)
            return LogPage(chunks, is_last=run.is_final and len(chunks) < _PAGE)

    def _append(self, run_id: RunId, text: str) -> None:
        if not text:
            return
        now = self._clock.now()
        with self._store.transaction(Durability.KEPT) as tx:
            for start in range(0, len(text), _CHUNK_CHARS):
                tx.logs.append(run_id, text[start : start + _CHUNK_CHARS], at=now)
            tx.notify(topics.log(run_id))
