"""Secure aggregation with one side of upstream's and the other of ours, message by message.

The app ``apps/secure-aggregation`` runs with all others in ``test_apps.py``.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, Self

import numpy as np
import pytest

from flwr.app import Context
from tests.harness.toolset import OURS, ROOT, Toolset
from tests.interop import secagg_peer
from tests.interop.conftest import PATIENT
from tests.interop.secagg_peer import dump_content, load_content

PEER: Final = ROOT / "tests" / "interop" / "secagg_peer.py"
CLIENTS: Final = 5
NODES: Final = range(11, 11 + CLIENTS)

pytestmark = [pytest.mark.slow, PATIENT]

Answer = Callable[[int, Any], Any]
"""Takes a node id and a content as JSON; returns the reply as JSON."""


class Process:
    """A peer in another interpreter."""

    def __init__(self, tools: Toolset, *args: str) -> None:
        self._process = subprocess.Popen(
            [tools.program("python"), "-W", "ignore", str(PEER), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def write(self, line: Any) -> None:
        stdin: IO[str] | None = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(line) + "\n")
        stdin.flush()

    def read(self) -> Any:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        assert line, "the peer ended early"
        return json.loads(line)


@pytest.fixture
def their_clients(peer: Toolset) -> Iterator[Answer]:
    """Upstream's mod."""
    with Process(peer, "client") as process:

        def answer(node_id: int, content: Any) -> Any:
            process.write({"node_id": node_id, "content": content})
            return process.read()

        yield answer


@pytest.fixture
def our_clients() -> Answer:
    contexts: dict[int, Context] = {}

    def answer(node_id: int, content: Any) -> Any:
        reply = secagg_peer.answer(node_id, load_content(content), contexts)
        if reply.has_error():
            return {"error": reply.error.reason}
        return {"content": dump_content(reply.content)}

    return answer


def train(
    server: Toolset, answer: Answer, drops: dict[int, str], **numbers: Any
) -> tuple[list[Any], list[str]]:
    """Run a round on ``server``; return the model, and the errors of clients."""
    errors: list[str] = []
    with Process(server, "server", json.dumps({"clients": CLIENTS, **numbers})) as process:
        while "model" not in (line := process.read()):
            node_id, content = line["node_id"], line["content"]
            configs = load_content(content).config_records["secaggplus_configs"]
            if drops.get(node_id) == configs["stage"]:
                process.write(None)
                continue
            reply = answer(node_id, content)
            errors += [reply["error"]] if "error" in reply else []
            process.write(reply)
    return [np.array(array) for array in line["model"]], errors


def average(counted: list[int]) -> float:
    return sum(n * 10 * n / 7 for n in counted) / sum(n * 10 for n in counted)


def assert_average(model: list[Any], counted: list[int]) -> None:
    np.testing.assert_allclose(model[0], np.full((3, 4), average(counted)), atol=1e-4)
    np.testing.assert_allclose(model[1], np.full(5, 1 + average(counted)), atol=1e-4)


NUMBERS: Final[list[dict[str, Any]]] = [
    {"num_shares": 1.0, "reconstruction_threshold": 0.5},
    {"num_shares": 3, "reconstruction_threshold": 2},
]


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("stage", [None, "collect_masked_vectors", "unmask"])
def test_upstreams_server_averages_our_clients(
    peer: Toolset, our_clients: Answer, numbers: dict[str, Any], stage: str | None
) -> None:
    drops = {NODES[1]: stage} if stage else {}

    model, errors = train(peer, our_clients, drops, **numbers)

    assert not errors
    assert_average(model, [n for n in NODES if drops.get(n) != "collect_masked_vectors"])


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("stage", [None, "setup", "share_keys", "collect_masked_vectors", "unmask"])
def test_our_server_averages_upstreams_clients(
    their_clients: Answer, numbers: dict[str, Any], stage: str | None
) -> None:
    drops = {NODES[1]: stage} if stage else {}
    # Of a ring of three nobody can spare a neighbour while two are needed to the end.
    numbers = numbers if stage in {None, "unmask"} else numbers | {"num_shares": 1.0}

    model, errors = train(OURS, their_clients, drops, **numbers)

    assert not errors
    assert_average(model, [n for n in NODES if drops.get(n) in {None, "unmask"}])


@pytest.mark.parametrize("server", ["ours", "upstream"])
def test_clients_of_both_mask_for_each_other(
    peer: Toolset, our_clients: Answer, their_clients: Answer, server: str
) -> None:
    def answer(node_id: int, content: Any) -> Any:
        return (our_clients if node_id % 2 else their_clients)(node_id, content)

    drops = {NODES[0]: "collect_masked_vectors", NODES[3]: "unmask"}
    tools = OURS if server == "ours" else peer

    model, errors = train(tools, answer, drops, num_shares=1.0, reconstruction_threshold=3)

    assert not errors
    assert_average(model, [*NODES[1:]])


def test_both_send_the_same_messages(peer: Toolset, our_clients: Answer) -> None:
    """Stages, records, entries and their types; ours may say more to those who understand it."""
    seen: dict[str, list[Any]] = {}

    def watching(name: str) -> Answer:
        seen[name] = []

        def answer(node_id: int, content: Any) -> Any:
            seen[name].append(_shape(content))
            return our_clients(node_id, content)

        return answer

    for name, tools in (("ours", OURS), ("upstream", peer)):
        train(tools, watching(name), {}, num_shares=1.0, reconstruction_threshold=0.5)

    assert sorted(seen["ours"]) == sorted(seen["upstream"])


def _shape(content: Any) -> str:
    told = [
        (name, kind, sorted((key, _kind(value)) for key, value in items if key != "mask_generator"))
        for name, kind, items in content
    ]
    return repr(sorted(told))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {len(value)} {sorted({_kind(item) for item in value})}"
    if isinstance(value, dict):
        return str(next(iter(value)))
    return f"{value!r}"
