"""Who waits for files to go is told by the last one, once, and not before."""

from flwr.store.leaving import Leaving

HERE = {"a", "b"}


def test_it_is_told_when_the_last_file_has_gone() -> None:
    told: list[str] = []
    leaving = Leaving(HERE.__contains__)
    with leaving.watched(["a", "b"], lambda: told.append("gone")):
        leaving.gone("a")
        assert not told
        leaving.gone("c")
        assert not told
        leaving.gone("b")
        assert told == ["gone"]
        leaving.gone("b")
    assert told == ["gone"]


def test_what_had_gone_before_counts() -> None:
    told: list[str] = []
    with Leaving(HERE.__contains__).watched(["x", "y"], lambda: told.append("gone")):
        assert told == ["gone"]


def test_nobody_is_told_of_no_files() -> None:
    told: list[str] = []
    with Leaving(HERE.__contains__).watched([], lambda: told.append("gone")):
        assert not told


def test_two_may_watch_one_file_and_nobody_is_told_afterwards() -> None:
    told: list[str] = []
    leaving = Leaving(HERE.__contains__)
    with leaving.watched(["a"], lambda: told.append("first")):
        with leaving.watched(["a", "b"], lambda: told.append("second")):
            leaving.gone("a")
            assert told == ["first"]
        leaving.gone("b")
    assert told == ["first"]
    assert not leaving._watched, "nothing is left of who has gone"
