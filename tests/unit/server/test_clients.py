"""Client managers, proxies, and how they learn of nodes."""

import random
import threading
from collections.abc import Iterable

import pytest

from flwr.app import Message
from flwr.client.client import Client
from flwr.clientapp import ClientApp
from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.typing import (
    EvaluateIns,
    FitIns,
    GetParametersIns,
    GetPropertiesIns,
    Parameters,
    ReconnectIns,
)
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.compat import registration
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.compat.registration import registered
from flwr.server.criterion import Criterion
from flwr.server.history import History
from flwr.serverapp.exception import RunNotRunningException
from tests.unit.server.app_grid import AppGrid
from tests.unit.server.clients import KnownClient, adding


def manager(count: int) -> SimpleClientManager:
    made = SimpleClientManager()
    assert all(made.register(KnownClient(str(index))) for index in range(count))
    return made


class Even(Criterion):
    def select(self, client: ClientProxy) -> bool:
        return int(client.cid) % 2 == 0


def test_clients_are_known_by_their_ids() -> None:
    known = manager(3)

    assert not known.register(KnownClient("1"))
    known.unregister(KnownClient("1"))
    known.unregister(KnownClient("9"))

    assert list(known.all()) == ["0", "2"]
    assert (len(known), known.num_available()) == (2, 2)


def test_a_sample_is_that_of_a_seed() -> None:
    random.seed(3)
    sampled = [client.cid for client in manager(4).sample(2)]
    random.seed(3)
    assert sampled == random.sample(["0", "1", "2", "3"], 2)


def test_a_criterion_says_who_may_be_sampled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "flwr")
    known = manager(4)

    assert sorted(client.cid for client in known.sample(2, criterion=Even())) == ["0", "2"]
    assert known.sample(3, criterion=Even()) == []
    assert known.sample(5, min_num_clients=4) == []
    assert "available clients (2) is less than number of requested clients (3)" in caplog.text


def test_who_samples_waits_for_enough_clients() -> None:
    known = manager(1)
    assert not known.wait_for(2, timeout=0)
    threading.Timer(0.05, lambda: known.register(KnownClient("7"))).start()
    assert len(known.sample(2)) == 2


def test_a_proxy_asks_its_node() -> None:
    grid = AppGrid(1, adding())
    client = GridClientProxy(101, grid, 7)
    model = ndarrays_to_parameters([])

    answers = [
        client.get_properties(GetPropertiesIns({}), None, 4).status.code.value,
        client.get_parameters(GetParametersIns({}), 5.0, None).status.code.value,
        client.reconnect(ReconnectIns(None), None, None).reason,
    ]

    assert answers == [1, 0, ""]
    assert grid.asked == [("get_properties", "4", 43200.0), ("get_parameters", "", 5.0)]
    assert (client.cid, client.node_id, client.run_id, client.properties) == ("101", 101, 7, {})
    with pytest.raises(ValueError, match="IndexError"):
        client.fit(FitIns(model, {}), None, 1)


def test_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = AppGrid(1, ClientApp(client_fn=lambda _: Client()))

    def give_up(messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return []

    monkeypatch.setattr(grid, "send_and_receive", give_up)
    with pytest.raises(ValueError, match="node 101 sent no reply to a evaluate message"):
        GridClientProxy(101, grid, 7).evaluate(EvaluateIns(Parameters([], ""), {}), None, 1)


def test_nodes_are_looked_for_before_every_question() -> None:
    grid, known = AppGrid(2, adding()), SimpleClientManager()

    with registered(grid, known):
        assert list(known.all()) == ["101", "102"]
        grid.nodes = [102, 103]
        assert sorted(known.all()) == ["102", "103"]
        grid.nodes.append(104)
        assert known.num_available() == 3
        assert len(known.sample(3)) == 3

    grid.nodes = []
    assert len(known.all()) == 3  # its own methods again
    assert "all" not in vars(known)


def test_nodes_that_come_while_somebody_waits_are_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registration, "_IDLE_S", 1e6)  # were it not seen that somebody waits
    grid, known = AppGrid(0, adding()), SimpleClientManager()

    with registered(grid, known):
        threading.Timer(0.05, lambda: grid.nodes.extend([101, 102])).start()
        assert len(known.sample(2)) == 2


def test_a_look_that_fails_is_repeated_and_the_end_of_the_run_is_not() -> None:
    grid, known = AppGrid(1, adding()), SimpleClientManager()
    failures: list[BaseException] = [OSError("network"), RunNotRunningException()]
    ended = threading.Event()

    def look() -> None:
        if threading.current_thread().name == "client-registration":
            failure = failures.pop(0)
            if not failures:
                ended.set()
            raise failure

    with registered(grid, known):
        grid.on_look = look
        threading.Thread(target=lambda: known.sample(2, min_num_clients=2), daemon=True).start()
        assert ended.wait(60)
        known.register(KnownClient("7"))


def test_a_history_shows_what_there_is() -> None:
    history = History()
    assert repr(history) == ""

    history.add_loss_distributed(1, 0.5)
    history.add_loss_centralized(0, 0.25)
    history.add_metrics_distributed_fit(1, {"a": 1})
    history.add_metrics_distributed(1, {"b": "x"})
    history.add_metrics_centralized(1, {"c": b"1"})
    history.add_metrics_centralized(2, {"c": True})

    assert repr(history).splitlines() == [
        "History (loss, distributed):",
        "\tround 1: 0.5",
        "History (loss, centralized):",
        "\tround 0: 0.25",
        "History (metrics, distributed, fit):",
        "{'a': [(1, 1)]}",
        "History (metrics, distributed, evaluate):",
        "{'b': [(1, 'x')]}",
        "History (metrics, centralized):",
        "{'c': [(1, b'1'), (2, True)]}",
    ]
