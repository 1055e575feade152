"""Import path of functions that apps take from here; each lives in the module it belongs to."""

from flwr.serverapp.strategy.aggregate import aggregate_arrayrecords, aggregate_metricrecords
from flwr.serverapp.strategy.boosters import aggregate_bagging
from flwr.serverapp.strategy.cohort import sample_nodes
from flwr.serverapp.strategy.progress import config_to_str, log_strategy_start_info
from flwr.serverapp.strategy.replies import validate_message_reply_consistency

__all__ = [
    "aggregate_arrayrecords",
    "aggregate_bagging",
    "aggregate_metricrecords",
    "config_to_str",
    "log_strategy_start_info",
    "sample_nodes",
    "validate_message_reply_consistency",
]
