"""How a Ray is started and left, with a stand-in for Ray."""

import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flwr.core.errors import InvalidError, UnavailableError
from flwr.simulation import ray_cluster
from flwr.simulation.ray_cluster import RayCluster

LATE = Exception("The current node timed out during startup. Nobody knows why.")
NO_GCS = RuntimeError("Timed out waiting for file /tmp/flwr-ray-x/gcs_server_port_1, 30s elapsed.")
NO_ANSWER = RuntimeError("Failed to start GCS.  Last 0 lines of error files: none.")


class FakeRay(SimpleNamespace):
    """Notes what is asked of Ray; fails as often as told, with a cause."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls: list[dict[str, Any]] = []
        self.environment: dict[str, str] = {}
        self.shutdowns = 0

    def is_initialized(self) -> bool:
        return False

    def init(self, **arguments: Any) -> None:
        self.calls.append(arguments)
        self.environment = dict(os.environ)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.failures:
            raise self.failures.pop(0)

    def shutdown(self) -> None:
        self.shutdowns += 1

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {}}]


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRay]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def install(*failures: Exception) -> FakeRay:
        fake = FakeRay(*failures)
        monkeypatch.setattr(ray_cluster, "_import_ray", lambda _: fake)
        return fake

    return install


def test_a_ray_of_our_own_is_quiet_and_leaves_this_process_as_it_was(
    with_ray: Callable[..., FakeRay],
) -> None:
    fake, before, handler = with_ray(), dict(os.environ), signal.getsignal(signal.SIGTERM)
    cluster = RayCluster({"num-gpus": 1}, cpus=3)
    (said,) = fake.calls
    assert (said["address"], said["num_cpus"], said["num_gpus"]) == ("local", 3, 1)
    assert (said["include_dashboard"], said["log_to_driver"]) == (False, False)
    assert fake.environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ == before
    assert signal.getsignal(signal.SIGTERM) is handler
    assert [machine.cpus for machine in cluster.machines] == [2.0]
    assert cluster.where == "this machine"
    cluster.close()
    assert fake.shutdowns == 1
    assert not os.path.lexists(said["_temp_dir"])


@pytest.mark.parametrize("late", [LATE, NO_GCS, NO_ANSWER])
def test_a_start_that_is_late_is_tried_once_more(
    with_ray: Callable[..., FakeRay], late: Exception
) -> None:
    fake = with_ray(late)
    RayCluster({}, cpus=1).close()
    assert len(fake.calls) == 2
    fake = with_ray(LATE, LATE)
    with pytest.raises(UnavailableError, match="timed out during startup"):
        RayCluster({}, cpus=1)
    assert not os.path.lexists(fake.calls[0]["_temp_dir"])


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (TypeError("no such argument"), InvalidError),
        (ValueError("too many"), InvalidError),
        (RuntimeError("many\nlines"), UnavailableError),
        (ConnectionError("gone"), UnavailableError),
    ],
)
def test_what_ray_raises_is_told_in_a_line(
    with_ray: Callable[..., FakeRay], failure: Exception, kind: type[Exception]
) -> None:
    with_ray(failure)
    with pytest.raises(kind) as raised:
        RayCluster({}, cpus=1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("init_args", "cause"),
    [
        ({"address": "head:6379", "num_cpus": 2}, "num_cpus, which a Ray cluster decides itself"),
        ({"address": "ray://head:10001"}, "no address of a Ray cluster"),
        ({"address": "head"}, "no address of a Ray cluster"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(
    with_ray: Callable[..., FakeRay], init_args: dict[str, Any], cause: str
) -> None:
    fake = with_ray()
    with pytest.raises(InvalidError, match=cause):
        RayCluster(init_args, cpus=1)
    assert fake.calls == []
