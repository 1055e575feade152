"""When a transaction is quick: nobody writes now, and the disk kept up lately."""

from flwr.store.store import Store, open_store
from flwr.store.turns import NoTurn, WriterTurn


def is_quick(one: WriterTurn | NoTurn | Store) -> bool:
    return one.is_quick


def test_a_turn_is_quick_while_free_and_its_commits_are() -> None:
    turn = WriterTurn()
    assert is_quick(turn)
    with turn:
        assert not is_quick(turn)
        turn.note_commit(0.5)
    assert not is_quick(turn), "a slow disk"
    for _ in range(100):
        turn.note_commit(0.0001)
    assert is_quick(turn), "it has recovered"


def test_one_slow_commit_among_many_changes_little() -> None:
    turn = WriterTurn()
    turn.note_commit(0.010)
    assert is_quick(turn)


def test_a_server_is_never_quick() -> None:
    turn = NoTurn()
    with turn:
        turn.note_commit(0.0)
    assert not is_quick(turn)


def test_a_store_says_whether_it_is_quick() -> None:
    store = open_store(":memory:")
    try:
        assert is_quick(store)
        with store.transaction():
            assert not is_quick(store)
        with store.reading():
            assert is_quick(store), "readers hold up nobody"
    finally:
        store.close()
