from dataclasses import replace
from datetime import timedelta

import pytest

from flwr.core.errors import AlreadyExistsError, ConflictError
from flwr.core.ids import RunId
from flwr.core.lease import AppKind, renewed
from flwr.store.store import Store
from tests import given

MINUTE = timedelta(minutes=1)


def test_a_lease_comes_back_as_it_was_stored(store: Store) -> None:
    lease = given.lease(kind=AppKind.CLIENTAPP, message_id=given.message_id())
    with store.transaction() as tx:
        tx.leases.grant(lease)
        with pytest.raises(AlreadyExistsError):
            tx.leases.grant(replace(lease, run_id=RunId(8)))
    with store.reading() as tx:
        assert tx.leases.find_by_hash(lease.token_hash) == lease
        assert tx.leases.find_by_hash("0" * 64) is None


def test_an_ended_lease_cannot_be_renewed(store: Store) -> None:
    lease = given.lease()
    later = replace(renewed(lease, at=given.NOW + MINUTE, patience=MINUTE), inputs_pulled=True)
    with store.transaction() as tx:
        tx.leases.grant(lease)
        tx.leases.save(later)
        assert tx.leases.find_by_hash(lease.token_hash) == later
        assert tx.leases.end(lease.token_hash)
        assert not tx.leases.end(lease.token_hash)
        with pytest.raises(ConflictError):
            tx.leases.save(later)


def test_leases_lapse_at_their_deadline(store: Store) -> None:
    first = given.lease(until=given.NOW + MINUTE)
    second = given.lease(run_id=RunId(8), kind=AppKind.CLIENTAPP, granted_at=given.NOW + MINUTE)
    second = replace(second, until=given.NOW + 2 * MINUTE)
    with store.transaction() as tx:
        assert tx.leases.next_lapse() is None
        tx.leases.grant(second)
        tx.leases.grant(first)
        assert tx.leases.next_lapse() == given.NOW + MINUTE
        assert tx.leases.lapsed(given.NOW + MINUTE) == [first]
        assert tx.leases.for_run(RunId(8)) == [second]
        assert tx.leases.list() == [first, second]
        assert tx.leases.list(AppKind.CLIENTAPP) == [second]
