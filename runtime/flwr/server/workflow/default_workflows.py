"""DefaultWorkflow: the round loop of legacy apps in replaceable parts, its state in the Context."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.app.console_log import log
from flwr.app.message_type import MessageTypeLegacy
from flwr.common import recorddict_compat as compat
from flwr.common.typing import Code, GetParametersIns, Parameters
from flwr.core.clock import Clock, SystemClock
from flwr.server.asking import judge
from flwr.server.client_proxy import ClientProxy
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.compat.registration import registered
from flwr.server.server import log_summary
from flwr.server.typing import Workflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.serverapp.grid import Grid

_clock: Clock = SystemClock()  # apps construct workflows, so nothing can hand one in
Ins = TypeVar("Ins")


class DefaultWorkflow:
    """Runs rounds: training, evaluation on the server, evaluation on clients.

    Args:
        fit_workflow: trains; the default if absent.
        evaluate_workflow: evaluates on clients; the default if absent.
    """

    def __init__(
        self,
        fit_workflow: Workflow | None = None,
        evaluate_workflow: Workflow | None = None,
    ) -> None:
        self.fit_workflow: Workflow = fit_workflow or default_fit_workflow
        self.evaluate_workflow: Workflow = evaluate_workflow or default_evaluate_workflow

    def __call__(self, grid: Grid, context: Context) -> None:
        """Run all rounds.

        Raises:
            TypeError: ``context`` is no LegacyContext.
        """
        legacy = _require_legacy(context)
        with registered(grid, legacy.client_manager):
            default_init_params_workflow(grid, legacy)
            started_s = _clock.monotonic()
            settings = ConfigRecord({Key.START_TIME: started_s})
            legacy.state[MAIN_CONFIGS_RECORD] = settings
            for server_round in range(1, legacy.config.num_rounds + 1):
                log(logging.INFO, "")
                log(logging.INFO, "[ROUND %s]", server_round)
                settings[Key.CURRENT_ROUND] = server_round
                self.fit_workflow(grid, legacy)
                default_centralized_evaluation_workflow(grid, legacy)
                self.evaluate_workflow(grid, legacy)
        log_summary(legacy.history, legacy.config.num_rounds, _clock.monotonic() - started_s)


def default_init_params_workflow(grid: Grid, context: Context) -> None:
    """Put the initial model into the state, and evaluate it on the server."""
    legacy = _require_legacy(context)
    log(logging.INFO, "[INIT]")
    given = legacy.strategy.initialize_parameters(client_manager=legacy.client_manager)
    if given is not None:
        log(logging.INFO, "Using initial global parameters provided by strategy")
        model = given
    else:
        model = _ask_for_model(grid, legacy)
    _keep_model(legacy, model)
    log(logging.INFO, "Starting evaluation of initial global parameters")
    evaluated = legacy.strategy.evaluate(0, parameters=model)
    if evaluated is None:
        log(logging.INFO, "Evaluation returned no results (`None`)")
        return
    loss, metrics = evaluated
    log(logging.INFO, "initial parameters (loss, other metrics): %s, %s", loss, metrics)
    legacy.history.add_loss_centralized(server_round=0, loss=loss)
    legacy.history.add_metrics_centralized(server_round=0, metrics=metrics)


def default_centralized_evaluation_workflow(_: Grid, context: Context) -> None:
    """Evaluate the model on the server."""
    legacy = _require_legacy(context)
    server_round = _round(legacy)
    evaluated = legacy.strategy.evaluate(server_round, parameters=_model(legacy))
    if evaluated is None:
        return
    loss, metrics = evaluated
    started_s = cast("float", legacy.state.config_records[MAIN_CONFIGS_RECORD][Key.START_TIME])
    elapsed_s = _clock.monotonic() - started_s
    log(logging.INFO, "fit progress: (%s, %s, %s, %s)", server_round, loss, metrics, elapsed_s)
    legacy.history.add_loss_centralized(server_round=server_round, loss=loss)
    legacy.history.add_metrics_centralized(server_round=server_round, metrics=metrics)


def default_fit_workflow(grid: Grid, context: Context) -> None:
    """Have clients train the model, and put the new one into the state."""
    legacy = _require_legacy(context)
    server_round = _round(legacy)
    instructions = legacy.strategy.configure_fit(
        server_round=server_round, parameters=_model(legacy), client_manager=legacy.client_manager
    )
    if not instructions:
        log(logging.INFO, "configure_fit: no clients selected, cancel")
        return
    _log_sampled(legacy, "configure_fit", instructions)
    contents = ((c, compat.fitins_to_recorddict(ins, keep_input=True)) for c, ins in instructions)
    replies = _ask(grid, legacy, MessageType.TRAIN, contents)
    answers, raised = _split(replies, _by_node(instructions))
    results, refused = judge(
        [(c, compat.recorddict_to_fitres(content, keep_input=False)) for c, content in answers]
    )
    _log_received("aggregate_fit", results, [*refused, *raised])
    model, metrics = legacy.strategy.aggregate_fit(server_round, results, [*refused, *raised])
    if model:
        _keep_model(legacy, model)
        legacy.history.add_metrics_distributed_fit(server_round=server_round, metrics=metrics)


def default_evaluate_workflow(grid: Grid, context: Context) -> None:
    """Have clients evaluate the model."""
    legacy = _require_legacy(context)
    server_round = _round(legacy)
    instructions = legacy.strategy.configure_evaluate(
        server_round=server_round, parameters=_model(legacy), client_manager=legacy.client_manager
    )
    if not instructions:
        log(logging.INFO, "configure_evaluate: no clients selected, skipping evaluation")
        return
    _log_sampled(legacy, "configure_evaluate", instructions)
    contents = (
        (c, compat.evaluateins_to_recorddict(ins, keep_input=True)) for c, ins in instructions
    )
    replies = _ask(grid, legacy, MessageType.EVALUATE, contents)
    answers, raised = _split(replies, _by_node(instructions))
    results, refused = judge(
        [(c, compat.recorddict_to_evaluateres(content)) for c, content in answers]
    )
    _log_received("aggregate_evaluate", results, [*refused, *raised])
    loss, metrics = legacy.strategy.aggregate_evaluate(server_round, results, [*refused, *raised])
    if loss is not None:
        legacy.history.add_loss_distributed(server_round=server_round, loss=loss)
        legacy.history.add_metrics_distributed(server_round=server_round, metrics=metrics)


def _ask_for_model(grid: Grid, legacy: LegacyContext) -> Parameters:
    log(logging.INFO, "Requesting initial parameters from one random client")
    (client,) = legacy.client_manager.sample(1)
    content = compat.getparametersins_to_recorddict(GetParametersIns({}))
    asked = Message(content, client.node_id, MessageTypeLegacy.GET_PARAMETERS, group_id="0")
    for reply in grid.send_and_receive([asked], timeout=legacy.config.round_timeout):
        if reply.has_error():
            continue
        answer = compat.recorddict_to_getparametersres(reply.content, keep_input=False)
        if answer.status.code == Code.OK:
            log(logging.INFO, "Received initial parameters from one random client")
            return answer.parameters
    log(
        logging.WARNING,
        "Failed to receive initial parameters from the client. Empty initial parameters will be "
        "used.",
    )
    return Parameters([], "")


def _ask(
    grid: Grid,
    legacy: LegacyContext,
    message_type: str,
    contents: Iterable[tuple[ClientProxy, RecordDict]],
) -> list[Message]:
    group_id = str(_round(legacy))
    asked = [
        Message(content, client.node_id, message_type, group_id=group_id)
        for client, content in contents
    ]
    return list(grid.send_and_receive(asked, timeout=legacy.config.round_timeout))


def _split(
    replies: Iterable[Message], clients: Mapping[int, ClientProxy]
) -> tuple[list[tuple[ClientProxy, RecordDict]], list[BaseException]]:
    """Return contents in the order in which the clients were asked, and errors as exceptions."""
    by_node = {reply.metadata.src_node_id: reply for reply in replies if reply.has_content()}
    answers = [(c, by_node[node].content) for node, c in clients.items() if node in by_node]
    raised = [ValueError(str(reply.error)) for reply in replies if reply.has_error()]
    return answers, [*raised]


def _by_node(instructions: Sequence[tuple[ClientProxy, Ins]]) -> dict[int, ClientProxy]:
    return {client.node_id: client for client, _ in instructions}


def _require_legacy(context: Context) -> LegacyContext:
    if not isinstance(context, LegacyContext):
        raise TypeError(f"Expect a LegacyContext, but get {type(context).__name__}.")
    return context


def _round(legacy: LegacyContext) -> int:
    return cast("int", legacy.state.config_records[MAIN_CONFIGS_RECORD][Key.CURRENT_ROUND])


def _model(legacy: LegacyContext) -> Parameters:
    record = legacy.state.array_records[MAIN_PARAMS_RECORD]
    return compat.arrayrecord_to_parameters(record, keep_input=True)


def _keep_model(legacy: LegacyContext, model: Parameters) -> None:
    legacy.state[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(model, keep_input=True)


def _log_sampled(legacy: LegacyContext, stage: str, chosen: Sequence[object]) -> None:
    log(
        logging.INFO,
        "%s: strategy sampled %s clients (out of %s)",
        stage,
        len(chosen),
        legacy.client_manager.num_available(),
    )


def _log_received(stage: str, results: Sequence[object], failures: Sequence[object]) -> None:
    text = "%s: received %s results and %s failures"
    log(logging.INFO, text, stage, len(results), len(failures))
