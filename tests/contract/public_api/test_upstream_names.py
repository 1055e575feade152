"""Every public name of upstream's release, its signature and members, against ours."""

import pytest

from tests.contract.public_api.differences import (
    ABSENT,
    INTENDED,
    Difference,
    found_differences,
    our_surface,
    reason_for,
    upstream_surface,
)


@pytest.fixture(scope="module")
def differences() -> dict[str, str]:
    return found_differences(upstream_surface(), our_surface())


def test_no_name_differs_without_a_reason(differences: dict[str, str]) -> None:
    assert {n: how for n, how in differences.items() if reason_for(n) is None} == {}


@pytest.mark.parametrize("intended", INTENDED, ids=lambda d: d.names[0])
def test_every_intended_difference_still_is_one(
    intended: Difference, differences: dict[str, str]
) -> None:
    alone = [Difference((pattern,), intended.reason) for pattern in intended.names]

    unused = [d.names[0] for d in alone if not any(d.covers(name) for name in differences)]
    assert unused == []


def test_lost_names_and_changed_defaults_are_found() -> None:
    theirs = upstream_surface()
    ours = {**theirs, "flwr.app.Error": {**theirs["flwr.app.Error"], "signature": "(code)"}}
    del ours["flwr.client.start_client"]

    assert found_differences(theirs, ours) == {
        "flwr.client.start_client": ABSENT,
        "flwr.app.Error": "(code, reason=None), ours: (code)",
    }
