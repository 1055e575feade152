"""History: losses and metrics of a legacy run, by round."""

from collections.abc import Iterator
from pprint import pformat

from flwr.common.typing import Metrics, Scalar

MetricsByName = dict[str, list[tuple[int, Scalar]]]


class History:
    """What came out of the rounds; every entry is (round, value)."""

    def __init__(self) -> None:
        self.losses_distributed: list[tuple[int, float]] = []
        self.losses_centralized: list[tuple[int, float]] = []
        self.metrics_distributed_fit: MetricsByName = {}
        self.metrics_distributed: MetricsByName = {}
        self.metrics_centralized: MetricsByName = {}

    def add_loss_distributed(self, server_round: int, loss: float) -> None:
        """Add the loss that clients reported."""
        self.losses_distributed.append((server_round, loss))

    def add_loss_centralized(self, server_round: int, loss: float) -> None:
        """Add the loss that the server found."""
        self.losses_centralized.append((server_round, loss))

    def add_metrics_distributed_fit(self, server_round: int, metrics: Metrics) -> None:
        """Add metrics of clients' training."""
        _add(self.metrics_distributed_fit, server_round, metrics)

    def add_metrics_distributed(self, server_round: int, metrics: Metrics) -> None:
        """Add metrics of clients' evaluation."""
        _add(self.metrics_distributed, server_round, metrics)

    def add_metrics_centralized(self, server_round: int, metrics: Metrics) -> None:
        """Add metrics of the server's evaluation."""
        _add(self.metrics_centralized, server_round, metrics)

    def __repr__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        losses = (
            ("distributed", self.losses_distributed),
            ("centralized", self.losses_centralized),
        )
        for where, found in losses:
            if found:
                yield f"History (loss, {where}):"
                yield from (f"\tround {server_round}: {loss}" for server_round, loss in found)
        tables = (
            ("distributed, fit", self.metrics_distributed_fit),
            ("distributed, evaluate", self.metrics_distributed),
            ("centralized", self.metrics_centralized),
        )
        for where, table in tables:
            if table:
                yield f"History (metrics, {where}):"
                yield pformat(table)


def _add(table: MetricsByName, server_round: int, metrics: Metrics) -> None:
    for name, value in metrics.items():
        table.setdefault(name, []).append((server_round, value))
