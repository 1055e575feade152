"""SecAgg+ as a workflow: four questions to every client, then the average for the strategy."""

import logging
import random
from collections.abc import Callable, Mapping
from typing import cast

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.app.configrecord import ConfigRecordValues
from flwr.app.console_log import log
from flwr.common import recorddict_compat as compat
from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.crypto.masks import MaskGenerator
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.server.workflow.secure_aggregation.answers import (
    ciphertexts_in,
    shares_in,
    take_keys,
    take_masked,
)
from flwr.server.workflow.secure_aggregation.numbers import (
    as_fraction_if_one,
    check_ranges,
    check_shares,
    modulus_for,
    share_count,
    share_threshold,
)
from flwr.server.workflow.secure_aggregation.ring import neighbours
from flwr.server.workflow.secure_aggregation.unmasking import UnmaskingError, average, unmask_sum
from flwr.server.workflow.secure_aggregation.workflow_state import WorkflowState
from flwr.serverapp.grid import Grid

__all__ = ["SecAggPlusWorkflow", "WorkflowState"]

_LEAST_CLIENTS = 2  # a sum of one update is that update


class SecAggPlusWorkflow:
    """Trains one round with SecAgg+; to be given to DefaultWorkflow as ``fit_workflow``.

    The server learns the weighted average of the updates and no single one, as long as fewer than
    ``reconstruction_threshold`` of a client's neighbours side with it, and it keeps to the
    protocol.  Clients may drop out at every stage while enough of each one's neighbours stay;
    otherwise the round is given up and the model stays as it is.  The ClientApp needs
    ``secaggplus_mod``.

    Args:
        num_shares: into how many shares each client splits its secrets, which is also how many
            neighbours it has, itself included.  An int above 2, 1 for all, or a float: the
            fraction of the sampled clients.
        reconstruction_threshold: how many shares give a secret.  An int, or a float: the fraction
            of the shares.
        max_weight: the most examples a client has; more may overflow.
        clipping_range: weighted parameters are clipped to plus and minus this.
        quantization_range: parameters become integers from 0 to this.
        modulus_range: sums are taken modulo this power of two; raised for rounds that need it.
        timeout: seconds that clients have for each stage; None waits for all.

    Raises:
        TypeError: a number has the wrong type.
        ValueError: a number is out of range.

    Source: Bell et al., CCS 2020, doi:10.1145/3372297.3417885.
    """

    def __init__(
        self,
        num_shares: int | float,  # noqa: PYI041  an int counts, a float is a share
        reconstruction_threshold: int | float,  # noqa: PYI041  as above
        *,
        max_weight: float = 1000.0,
        clipping_range: float = 8.0,
        quantization_range: int = 4194304,
        modulus_range: int = 4294967296,
        timeout: float | None = None,
    ) -> None:
        self.num_shares = as_fraction_if_one(num_shares)
        self.reconstruction_threshold = as_fraction_if_one(reconstruction_threshold)
        check_shares(self.num_shares, self.reconstruction_threshold)
        check_ranges(max_weight, clipping_range, quantization_range, modulus_range)
        self.max_weight = max_weight
        self.clipping_range = clipping_range
        self.quantization_range = quantization_range
        self.modulus_range = modulus_range
        self.timeout = timeout

    def __call__(self, grid: Grid, context: Context) -> None:
        """Train one round; the model in ``context`` changes if all stages succeed.

        Raises:
            TypeError: ``context`` is no LegacyContext.
        """
        if not isinstance(context, LegacyContext):
            raise TypeError(f"Expect a LegacyContext, but get {type(context).__name__}.")
        stages = (
            self.setup_stage,
            self.share_keys_stage,
            self.collect_masked_vectors_stage,
            self.unmask_stage,
        )
        state = WorkflowState()
        log(logging.INFO, "Secure aggregation commencing.")
        is_done = all(stage(grid, context, state) for stage in stages)
        log(logging.INFO, "Secure aggregation %s.", "completed" if is_done else "halted")

    def setup_stage(self, grid: Grid, context: LegacyContext, state: WorkflowState) -> bool:
        """Sample clients, send them the numbers of the round, and get their public keys."""
        if not self._sample(context, state):
            return False
        numbers: dict[str, ConfigRecordValues] = {
            Key.SAMPLE_NUMBER: len(state.sampled_node_ids),
            Key.SHARE_NUMBER: state.num_shares,
            Key.THRESHOLD: state.threshold,
            Key.CLIPPING_RANGE: state.clipping_range,
            Key.TARGET_RANGE: state.quantization_range,
            Key.MOD_RANGE: state.mod_range,
            Key.MAX_WEIGHT: state.max_weight,
        }
        asked = {nid: _configs(Stage.SETUP, numbers) for nid in state.sampled_node_ids}
        state.active_node_ids = self._ask(grid, context, state, asked, take_keys)
        # The ring goes through those who answered: who is missing now costs nobody a neighbour.
        ring = list(state.sampled_node_ids)
        random.shuffle(ring)  # hides nothing from a server, which knows it anyway
        ring = [nid for nid in ring if nid in state.active_node_ids]
        state.nid_to_neighbours = neighbours(ring, state.num_shares)
        return _has_enough(state)

    def share_keys_stage(self, grid: Grid, context: LegacyContext, state: WorkflowState) -> bool:
        """Send each client its neighbours' public keys, and get shares of its secrets for them."""
        asked = {
            nid: _configs(
                Stage.SHARE_KEYS,
                {str(n): state.nid_to_publickeys[n] for n in state.nid_to_neighbours[nid]},
            )
            for nid in state.active_node_ids
        }
        shares: dict[int, dict[int, bytes]] = {}

        def take(_: WorkflowState, nid: int, content: RecordDict) -> None:
            shares[nid] = ciphertexts_in(content, state.nid_to_neighbours[nid] - {nid})

        state.active_node_ids = self._ask(grid, context, state, asked, take)
        state.shared_node_ids = set(state.active_node_ids)
        for nid in state.active_node_ids:
            sources = [n for n in shares if n != nid and n in state.nid_to_neighbours[nid]]
            state.forward_srcs[nid] = sources
            state.forward_ciphertexts[nid] = [shares[source][nid] for source in sources]
        return _has_enough(state)

    def collect_masked_vectors_stage(
        self, grid: Grid, context: LegacyContext, state: WorkflowState
    ) -> bool:
        """Have the clients train, and add up their masked updates."""
        state.generator = _best_generator(state)
        asked: dict[int, RecordDict] = {}
        for nid in state.active_node_ids:
            entries: dict[str, ConfigRecordValues] = {
                Key.CIPHERTEXT_LIST: state.forward_ciphertexts[nid],
                Key.SOURCE_LIST: state.forward_srcs[nid],
            }
            if state.generator is not MaskGenerator.MT19937:
                entries[Key.MASK_GENERATOR] = str(state.generator)
            configs = _configs(Stage.COLLECT_MASKED_VECTORS, entries)
            asked[nid] = RecordDict({**state.nid_to_fitins[nid], **configs})
        state.active_node_ids = self._ask(grid, context, state, asked, take_masked)
        return _has_enough(state)

    def unmask_stage(self, grid: Grid, context: LegacyContext, state: WorkflowState) -> bool:
        """Get shares of the seeds of those who answered and of the keys of those who dropped out.

        The average they uncover goes through the strategy into the model.
        """
        asked: dict[int, RecordDict] = {}
        for nid in state.active_node_ids:
            near = state.nid_to_neighbours[nid]
            lists: dict[str, ConfigRecordValues] = {
                Key.ACTIVE_NODE_ID_LIST: sorted(near & state.active_node_ids),
                Key.DEAD_NODE_ID_LIST: sorted(near & state.dropped_node_ids),
            }
            asked[nid] = _configs(Stage.UNMASK, lists)
        shares: dict[int, list[bytes]] = {}

        def take(_: WorkflowState, nid: int, content: RecordDict) -> None:
            for of_nid, share in shares_in(content, state.nid_to_neighbours[nid]).items():
                shares.setdefault(of_nid, []).append(share)

        self._ask(grid, context, state, asked, take)
        try:
            state.aggregate_ndarrays = average(state, unmask_sum(state, shares))
        except UnmaskingError as why:
            log(logging.ERROR, "%s", why)
            return False
        _aggregate(context, state)
        return True

    def _sample(self, context: LegacyContext, state: WorkflowState) -> bool:
        """Let the strategy choose clients, and work out the numbers of the round for them."""
        model = compat.arrayrecord_to_parameters(
            context.state.array_records[MAIN_PARAMS_RECORD], keep_input=True
        )
        manager = context.client_manager
        chosen = context.strategy.configure_fit(_round(context), model, manager)
        if not chosen:
            log(logging.INFO, "configure_fit: no clients selected, cancel")
            return False
        available = manager.num_available()
        text = "configure_fit: strategy sampled %s clients (out of %s)"
        log(logging.INFO, text, len(chosen), available)
        state.nid_to_proxies = {proxy.node_id: proxy for proxy, _ in chosen}
        state.nid_to_fitins = {
            proxy.node_id: compat.fitins_to_recorddict(fitins, keep_input=True)
            for proxy, fitins in chosen
        }
        state.sampled_node_ids = set(state.nid_to_proxies)
        clients = len(state.sampled_node_ids)
        if clients < _LEAST_CLIENTS:
            log(logging.ERROR, "The number of samples should be greater than 1.")
            return False
        state.num_shares = share_count(self.num_shares, clients)
        state.threshold = share_threshold(self.reconstruction_threshold, state.num_shares)
        state.max_weight, state.clipping_range = float(self.max_weight), float(self.clipping_range)
        state.quantization_range = self.quantization_range
        state.mod_range = modulus_for(clients, self.quantization_range, self.modulus_range)
        return True

    def _ask(
        self,
        grid: Grid,
        context: LegacyContext,
        state: WorkflowState,
        contents: Mapping[int, RecordDict],
        take: Callable[[WorkflowState, int, RecordDict], None],
    ) -> set[int]:
        """Send ``contents`` and give each answer to ``take``; return whose answer was good."""
        group_id = str(_round(context))
        messages = [
            Message(content, nid, MessageType.TRAIN, group_id=group_id)
            for nid, content in contents.items()
        ]
        answered = set()
        for reply in grid.send_and_receive(messages, timeout=self.timeout):
            nid = reply.metadata.src_node_id
            if reply.has_error():
                state.failures.append(Exception(reply.error))
                continue
            if nid not in contents:
                continue  # nobody asked it
            try:
                take(state, nid, reply.content)
            except (KeyError, TypeError, ValueError) as wrong:
                log(logging.WARNING, "Node %s sent a malformed answer: %s", nid, wrong)
                state.failures.append(wrong)
                continue
            answered.add(nid)
        return answered


def _round(context: LegacyContext) -> int:
    settings = context.state.config_records[MAIN_CONFIGS_RECORD]
    return cast("int", settings[WorkflowKey.CURRENT_ROUND])


def _configs(stage: str, entries: Mapping[str, ConfigRecordValues]) -> RecordDict:
    return RecordDict({RECORD_KEY_CONFIGS: ConfigRecord({**entries, Key.STAGE: stage})})


def _has_enough(state: WorkflowState) -> bool:
    """Tell whether every secret that will be needed can still be put together."""
    needed = state.active_node_ids | state.dropped_node_ids
    if needed and all(
        len(state.nid_to_neighbours[nid] & state.active_node_ids) >= state.threshold
        for nid in needed
    ):
        return True
    log(logging.ERROR, "Insufficient available nodes.")
    return False


def _best_generator(state: WorkflowState) -> MaskGenerator:
    everyone_has = [state.nid_to_generators[nid] for nid in state.active_node_ids]
    is_common = all(MaskGenerator.CHACHA20 in names for names in everyone_has)
    return MaskGenerator.CHACHA20 if is_common else MaskGenerator.MT19937


def _aggregate(context: LegacyContext, state: WorkflowState) -> None:
    """Give the average to the strategy as what every client trained; keep what it returns."""
    server_round = _round(context)
    averaged = ndarrays_to_parameters(state.aggregate_ndarrays)
    for _, result in state.legacy_results:
        result.parameters = averaged
    text = "aggregate_fit: received %s results and %s failures"
    log(logging.INFO, text, len(state.legacy_results), len(state.failures))
    model, metrics = context.strategy.aggregate_fit(
        server_round, state.legacy_results, [*state.failures]
    )
    if model:
        record = compat.parameters_to_arrayrecord(model, keep_input=True)
        context.state[MAIN_PARAMS_RECORD] = record
        context.history.add_metrics_distributed_fit(server_round=server_round, metrics=metrics)
