"""Which cases there are, and which are chosen."""

import pytest

from tests.bench.cases import CASES, UPSTREAM_MOST_NODES, choose
from tests.bench.federations import SIDES


def names(
    *wanted: str,
    counts: tuple[int, ...] = (),
    quick: bool = False,
) -> list[str]:
    chosen = choose(CASES, names=wanted, counts=counts, quick=quick)
    return [case.name for case in chosen]


def test_names_are_unique_and_sides_exist() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {side for case in CASES for side in case.sides} <= set(SIDES)


def test_a_case_is_chosen_by_family_by_full_name_and_by_nodes() -> None:
    assert names("rounds-1kB", counts=(2, 10)) == ["rounds-1kB@2", "rounds-1kB@10"]
    assert names("tls-1kB@10", "rounds-1MB") == ["rounds-1MB@2", "tls-1kB@10"]


def test_without_a_name_all_cases_are_chosen_or_quick_ones() -> None:
    assert len(names()) == len(CASES)
    assert 0 < len(names(quick=True)) < len(CASES)


@pytest.mark.parametrize(("wanted", "counts"), [(["no-such"], ()), (["rounds-1MB"], (3,))])
def test_a_choice_of_nothing_is_an_error(wanted: list[str], counts: tuple[int, ...]) -> None:
    with pytest.raises(LookupError):
        names(*wanted, counts=counts)


def test_upstream_is_not_asked_for_what_it_cannot_do() -> None:
    many = [c for c in CASES if c.count > UPSTREAM_MOST_NODES and "rounds" in c.family]
    assert many
    assert all("GB" in case.why_not["upstream"] for case in many)
