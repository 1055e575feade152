"""Server: the round loop of legacy apps."""

import logging
from functools import partial

from flwr.app.console_log import log
from flwr.common.typing import (
    Code,
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    Parameters,
    ReconnectIns,
    Scalar,
)
from flwr.core.clock import Clock, SystemClock
from flwr.server.asking import ask_all, judge
from flwr.server.client_manager import ClientManager, SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.history import History
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.strategy.strategy import Strategy

FitResultsAndFailures = tuple[
    list[tuple[ClientProxy, FitRes]],
    list[tuple[ClientProxy, FitRes] | BaseException],
]
EvaluateResultsAndFailures = tuple[
    list[tuple[ClientProxy, EvaluateRes]],
    list[tuple[ClientProxy, EvaluateRes] | BaseException],
]
ReconnectResultsAndFailures = tuple[
    list[tuple[ClientProxy, DisconnectRes]],
    list[tuple[ClientProxy, DisconnectRes] | BaseException],
]

_clock: Clock = SystemClock()  # apps construct servers, so nothing can hand one in


class Server:
    """Runs rounds: training, evaluation on the server, evaluation on clients.

    Args:
        client_manager: the clients.
        strategy: whom to ask and how to fold the answers; FedAvg if absent.
    """

    def __init__(self, *, client_manager: ClientManager, strategy: Strategy | None = None) -> None:
        self._client_manager = client_manager
        self.parameters = Parameters(tensors=[], tensor_type="numpy.ndarray")
        self.strategy: Strategy = FedAvg() if strategy is None else strategy
        self.max_workers: int | None = None

    def set_max_workers(self, max_workers: int | None) -> None:
        """Set how many clients are asked at the same time; None: all."""
        self.max_workers = max_workers

    def set_strategy(self, strategy: Strategy) -> None:
        """Replace the strategy."""
        self.strategy = strategy

    def client_manager(self) -> ClientManager:
        """Return the clients."""
        return self._client_manager

    def fit(self, num_rounds: int, timeout: float | None) -> tuple[History, float]:
        """Run the rounds; return losses and metrics, and the seconds it took."""
        history = History()
        log(logging.INFO, "[INIT]")
        self.parameters = self._get_initial_parameters(server_round=0, timeout=timeout)
        self._evaluate_initial_model(history)
        started_s = _clock.monotonic()
        for server_round in range(1, num_rounds + 1):
            log(logging.INFO, "")
            log(logging.INFO, "[ROUND %s]", server_round)
            self._train(server_round, timeout, history)
            self._evaluate_centrally(server_round, history, started_s)
            self._evaluate_on_clients(server_round, timeout, history)
        return history, _clock.monotonic() - started_s

    def evaluate_round(
        self, server_round: int, timeout: float | None
    ) -> tuple[float | None, dict[str, Scalar], EvaluateResultsAndFailures] | None:
        """Have clients evaluate the model; None if the strategy chose none."""
        instructions = self.strategy.configure_evaluate(
            server_round=server_round,
            parameters=self.parameters,
            client_manager=self._client_manager,
        )
        if not instructions:
            log(logging.INFO, "configure_evaluate: no clients selected, skipping evaluation")
            return None
        self._log_sampled("configure_evaluate", len(instructions))
        results, failures = evaluate_clients(
            instructions, max_workers=self.max_workers, timeout=timeout, group_id=server_round
        )
        _log_received("aggregate_evaluate", len(results), len(failures))
        loss, metrics = self.strategy.aggregate_evaluate(server_round, results, failures)
        return loss, metrics, (results, failures)

    def fit_round(
        self, server_round: int, timeout: float | None
    ) -> tuple[Parameters | None, dict[str, Scalar], FitResultsAndFailures] | None:
        """Have clients train the model; None if the strategy chose none."""
        instructions = self.strategy.configure_fit(
            server_round=server_round,
            parameters=self.parameters,
            client_manager=self._client_manager,
        )
        if not instructions:
            log(logging.INFO, "configure_fit: no clients selected, cancel")
            return None
        self._log_sampled("configure_fit", len(instructions))
        results, failures = fit_clients(
            instructions, max_workers=self.max_workers, timeout=timeout, group_id=server_round
        )
        _log_received("aggregate_fit", len(results), len(failures))
        parameters, metrics = self.strategy.aggregate_fit(server_round, results, failures)
        return parameters, metrics, (results, failures)

    def disconnect_all_clients(self, timeout: float | None) -> None:
        """Tell every client that the run is over."""
        clients = self._client_manager.all()
        instruction = ReconnectIns(seconds=None)
        reconnect_clients(
            [(client, instruction) for client in clients.values()], self.max_workers, timeout
        )

    def _get_initial_parameters(self, server_round: int, timeout: float | None) -> Parameters:
        given = self.strategy.initialize_parameters(client_manager=self._client_manager)
        if given is not None:
            log(logging.INFO, "Using initial global parameters provided by strategy")
            return given
        log(logging.INFO, "Requesting initial parameters from one random client")
        (client,) = self._client_manager.sample(1)
        answer = client.get_parameters(
            GetParametersIns(config={}), timeout=timeout, group_id=server_round
        )
        if answer.status.code == Code.OK:
            log(logging.INFO, "Received initial parameters from one random client")
        else:
            log(
                logging.WARNING,
                "Failed to receive initial parameters from the client. Empty initial parameters "
                "will be used.",
            )
        return answer.parameters

    def _evaluate_initial_model(self, history: History) -> None:
        log(logging.INFO, "Starting evaluation of initial global parameters")
        evaluated = self.strategy.evaluate(0, parameters=self.parameters)
        if evaluated is None:
            log(logging.INFO, "Evaluation returned no results (`None`)")
            return
        loss, metrics = evaluated
        log(logging.INFO, "initial parameters (loss, other metrics): %s, %s", loss, metrics)
        history.add_loss_centralized(server_round=0, loss=loss)
        history.add_metrics_centralized(server_round=0, metrics=metrics)

    def _train(self, server_round: int, timeout: float | None, history: History) -> None:
        trained = self.fit_round(server_round=server_round, timeout=timeout)
        if trained is None:
            return
        parameters, metrics, _ = trained
        if parameters:
            self.parameters = parameters
        history.add_metrics_distributed_fit(server_round=server_round, metrics=metrics)

    def _evaluate_centrally(self, server_round: int, history: History, started_s: float) -> None:
        evaluated = self.strategy.evaluate(server_round, parameters=self.parameters)
        if evaluated is None:
            return
        loss, metrics = evaluated
        elapsed_s = _clock.monotonic() - started_s
        log(logging.INFO, "fit progress: (%s, %s, %s, %s)", server_round, loss, metrics, elapsed_s)
        history.add_loss_centralized(server_round=server_round, loss=loss)
        history.add_metrics_centralized(server_round=server_round, metrics=metrics)

    def _evaluate_on_clients(
        self, server_round: int, timeout: float | None, history: History
    ) -> None:
        evaluated = self.evaluate_round(server_round=server_round, timeout=timeout)
        if evaluated is None:
            return
        loss, metrics, _ = evaluated
        if loss is not None:
            history.add_loss_distributed(server_round=server_round, loss=loss)
            history.add_metrics_distributed(server_round=server_round, metrics=metrics)

    def _log_sampled(self, stage: str, count: int) -> None:
        log(
            logging.INFO,
            "%s: strategy sampled %s clients (out of %s)",
            stage,
            count,
            self._client_manager.num_available(),
        )


def fit_client(
    client: ClientProxy, ins: FitIns, timeout: float | None, group_id: int
) -> tuple[ClientProxy, FitRes]:
    """Have one client train."""
    return client, client.fit(ins, timeout=timeout, group_id=group_id)


def evaluate_client(
    client: ClientProxy, ins: EvaluateIns, timeout: float | None, group_id: int
) -> tuple[ClientProxy, EvaluateRes]:
    """Have one client evaluate."""
    return client, client.evaluate(ins, timeout=timeout, group_id=group_id)


def reconnect_client(
    client: ClientProxy, reconnect: ReconnectIns, timeout: float | None
) -> tuple[ClientProxy, DisconnectRes]:
    """Tell one client to leave."""
    return client, client.reconnect(reconnect, timeout=timeout, group_id=None)


def fit_clients(
    client_instructions: list[tuple[ClientProxy, FitIns]],
    max_workers: int | None,
    timeout: float | None,
    group_id: int,
) -> FitResultsAndFailures:
    """Have clients train at the same time; return what they did and who failed."""
    answers, raised = ask_all(
        partial(fit_client, timeout=timeout, group_id=group_id), client_instructions, max_workers
    )
    results, refused = judge(answers)
    return results, [*refused, *raised]


def evaluate_clients(
    client_instructions: list[tuple[ClientProxy, EvaluateIns]],
    max_workers: int | None,
    timeout: float | None,
    group_id: int,
) -> EvaluateResultsAndFailures:
    """Have clients evaluate at the same time; return what they did and who failed."""
    answers, raised = ask_all(
        partial(evaluate_client, timeout=timeout, group_id=group_id),
        client_instructions,
        max_workers,
    )
    results, refused = judge(answers)
    return results, [*refused, *raised]


def reconnect_clients(
    client_instructions: list[tuple[ClientProxy, ReconnectIns]],
    max_workers: int | None,
    timeout: float | None,
) -> ReconnectResultsAndFailures:
    """Tell clients to leave; return what they said and who failed."""
    answers, raised = ask_all(
        partial(reconnect_client, timeout=timeout), client_instructions, max_workers
    )
    return answers, [*raised]


def init_defaults(
    server: Server | None,
    config: ServerConfig | None,
    strategy: Strategy | None,
    client_manager: ClientManager | None,
) -> tuple[Server, ServerConfig]:
    """Return a server and a config, made from defaults where they are absent."""
    if server is None:
        clients = SimpleClientManager() if client_manager is None else client_manager
        server = Server(client_manager=clients, strategy=strategy)
    elif strategy is not None:
        log(logging.WARNING, "Both server and strategy were provided, ignoring strategy")
    return server, ServerConfig() if config is None else config


def run_fl(server: Server, config: ServerConfig) -> History:
    """Run the rounds and log what came out of them."""
    history, elapsed_s = server.fit(num_rounds=config.num_rounds, timeout=config.round_timeout)
    log_summary(history, config.num_rounds, elapsed_s)
    server.disconnect_all_clients(timeout=config.round_timeout)
    return history


def log_summary(history: History, num_rounds: int, elapsed_s: float) -> None:
    """Log how long the rounds took, and the history line by line."""
    log(logging.INFO, "")
    log(logging.INFO, "[SUMMARY]")
    log(logging.INFO, "Run finished %s round(s) in %.2fs", num_rounds, elapsed_s)
    for line in repr(history).splitlines():
        log(logging.INFO, "\t%s", line)
    log(logging.INFO, "")


def _log_received(stage: str, results: int, failures: int) -> None:
    log(logging.INFO, "%s: received %s results and %s failures", stage, results, failures)
