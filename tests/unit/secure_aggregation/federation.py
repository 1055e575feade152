"""A server and its clients in one process; whoever is told to drops out at a stage."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.app.npy import decode_ndarray
from flwr.client.mod.secure_aggregation import secaggplus_mod
from flwr.common import recorddict_compat as compat
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.typing import Code, FitRes, NDArrays, Status
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.secure_aggregation import SecAggPlusWorkflow
from tests.unit.serverapp.fake_grid import FakeGrid

FIRST = 101  # the id of the first node
SHAPES = [(40, 25), (7,), ()]


@dataclass
class Exchanged:
    """One instruction, as its receiver got it, and the reply, as the server did."""

    node_id: int
    stage: str
    instruction: RecordDict
    reply: Message | None

    @property
    def asked(self) -> ConfigRecord:
        return self.instruction.config_records[RECORD_KEY_CONFIGS]

    @property
    def answered(self) -> ConfigRecord:
        assert self.reply is not None
        return self.reply.content.config_records[RECORD_KEY_CONFIGS]


@dataclass
class Federation:
    """``clients`` clients that train by adding a fixed update of their own.

    ``drops`` are the (node id, stage) at which nothing is answered; ``breaks`` those at which an
    error is; ``tamper`` may change what the server receives.
    """

    clients: int
    drops: set[tuple[int, str]] = field(default_factory=set)
    breaks: set[tuple[int, str]] = field(default_factory=set)
    tamper: Callable[[int, str, RecordDict], None] = lambda *_: None
    updates: dict[int, NDArrays] = field(default_factory=dict)
    examples: dict[int, int] = field(default_factory=dict)
    exchanged: list[Exchanged] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node_ids = list(range(FIRST, FIRST + self.clients))
        random = np.random.default_rng(self.clients)
        for node_id in self.node_ids:
            self.updates.setdefault(node_id, [random.normal(0, 0.5, shape) for shape in SHAPES])
            self.examples.setdefault(node_id, int(random.integers(20, 200)))
        self.contexts = {n: Context(7, n, {}, RecordDict(), {}) for n in self.node_ids}
        self.grid = FakeGrid(self.clients, self._deliver)
        self.model: NDArrays = [np.ones(array.shape) for array in next(iter(self.updates.values()))]

    def legacy_context(self, **strategy: Any) -> LegacyContext:
        settings = {"min_fit_clients": self.clients, "min_available_clients": self.clients}
        context = LegacyContext(
            Context(7, 1, {}, RecordDict(), {}), strategy=FedAvg(**(settings | strategy))
        )
        for node_id in self.node_ids:
            context.client_manager.register(GridClientProxy(node_id, self.grid, 7))
        model = compat.parameters_to_arrayrecord(
            ndarrays_to_parameters(self.model), keep_input=True
        )
        context.state[MAIN_PARAMS_RECORD] = model
        context.state[MAIN_CONFIGS_RECORD] = ConfigRecord({"current_round": 1})
        return context

    def train(self, workflow: SecAggPlusWorkflow, context: LegacyContext | None = None) -> NDArrays:
        """Run one round; return the model after it."""
        context = context or self.legacy_context()
        workflow.timeout = 3.0  # of the fake clock
        workflow(self.grid, context)
        record = context.state.array_records[MAIN_PARAMS_RECORD]
        return record.to_numpy_ndarrays()

    def plain_average(self, node_ids: Sequence[int] | None = None) -> NDArrays:
        """Return what FedAvg makes of the plain updates of ``node_ids``."""
        node_ids = self.node_ids if node_ids is None else node_ids
        total = sum(self.examples[n] for n in node_ids)
        return [
            np.asarray(sum(self.examples[n] * (m + self.updates[n][i]) for n in node_ids) / total)
            for i, m in enumerate(self.model)
        ]

    def at(self, stage: str) -> list[Exchanged]:
        """Return what was exchanged at ``stage``."""
        return [pair for pair in self.exchanged if pair.stage == stage]

    def masked(self, node_id: int) -> NDArray[np.int64]:
        """Return the masked update of a node, as the server received it."""
        (pair,) = (p for p in self.at(Stage.COLLECT_MASKED_VECTORS) if p.node_id == node_id)
        return flat(pair.answered[Key.MASKED_PARAMETERS])

    def _deliver(self, message: Message) -> Message | None:
        node_id = message.metadata.dst_node_id
        message = copy.deepcopy(message)  # as over a wire
        stage = str(message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE])
        pair = Exchanged(node_id, stage, copy.deepcopy(message.content), None)
        self.exchanged.append(pair)
        if (node_id, stage) in self.drops:
            return None
        if (node_id, stage) in self.breaks:
            return Message(Error(2, "broken"), reply_to=message)
        try:
            reply = secaggplus_mod(message, self.contexts[node_id], self._fit)
        except Exception as error:  # noqa: BLE001  as the runtime answers
            reply = Message(Error(2, f"{type(error).__name__}: {error}"), reply_to=message)
        if reply.has_content():
            self.tamper(node_id, stage, reply.content)
        pair.reply = copy.deepcopy(reply)
        return reply

    def _fit(self, message: Message, context: Context) -> Message:
        asked = compat.recorddict_to_fitins(message.content, keep_input=True)
        model = parameters_to_ndarrays(asked.parameters)
        node_id = context.node_id
        trained = [
            np.asarray(old + change)
            for old, change in zip(model, self.updates[node_id], strict=True)
        ]
        result = FitRes(
            Status(Code.OK, ""),
            ndarrays_to_parameters(trained),
            self.examples[node_id],
            {"node": node_id},
        )
        return Message(compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


def flat(tensors: Any) -> NDArray[np.int64]:
    return np.concatenate([decode_ndarray(tensor).ravel() for tensor in tensors])
