"""Result: what a strategy's rounds led to."""

from dataclasses import dataclass, field
from pprint import pformat

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.metricrecord import MetricRecord, MetricRecordValues

MEBIBYTE = 1024 * 1024

MetricsByRound = dict[int, MetricRecord]


@dataclass(repr=False)
class Result:
    """The last model and the metrics of each round.

    Attributes:
        arrays: the last aggregated model; empty if no round aggregated any.
        train_metrics_clientapp: aggregated, by round.
        evaluate_metrics_clientapp: aggregated, by round.
        evaluate_metrics_serverapp: of the central evaluation, by round; 0 is the initial model.
    """

    arrays: ArrayRecord = field(default_factory=ArrayRecord)
    train_metrics_clientapp: MetricsByRound = field(default_factory=dict)
    evaluate_metrics_clientapp: MetricsByRound = field(default_factory=dict)
    evaluate_metrics_serverapp: MetricsByRound = field(default_factory=dict)

    def __repr__(self) -> str:
        size = self.arrays.count_bytes() / MEBIBYTE
        return (
            f"Global Arrays:\n\tArrayRecord ({size:.3f} MB)\n"
            "\nAggregated ClientApp-side Train Metrics:\n"
            f"{_table(self.train_metrics_clientapp)}\n"
            "\nAggregated ClientApp-side Evaluate Metrics:\n"
            f"{_table(self.evaluate_metrics_clientapp)}\n"
            "\nServerApp-side Evaluate Metrics:\n"
            f"{_table(self.evaluate_metrics_serverapp)}\n"
        )


def _table(metrics: MetricsByRound) -> str:
    rounds = {
        server_round: {name: _shown(value) for name, value in record.items()}
        for server_round, record in metrics.items()
    }
    return pformat(rounds, indent=2)


def _shown(value: MetricRecordValues) -> str:
    if isinstance(value, list):
        return str([_shown(element) for element in value])
    return f"{value:.4e}" if isinstance(value, float) else str(value)
