"""What a strategy prints while it works; users know these lines, keep them."""

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.strategy.result import MEBIBYTE, Result


def config_to_str(config: ConfigRecord) -> str:
    """Return ``{'k': v, ...}`` with bytes left out."""
    shown = (
        f"'{key}': {'<bytes>' if isinstance(value, bytes) else value}"
        for key, value in config.items()
    )
    return "{" + ", ".join(shown) + "}"


def log_strategy_start_info(
    num_rounds: int,
    arrays: ArrayRecord,
    train_config: ConfigRecord | None,
    evaluate_config: ConfigRecord | None,
) -> None:
    """Log rounds, size of the model, and both configurations."""
    logger.info("\t├── Number of rounds: %d", num_rounds)
    logger.info("\t├── ArrayRecord (%.2f MB)", arrays.count_bytes() / MEBIBYTE)
    for stage, config in (("train", train_config), ("evaluate", evaluate_config)):
        logger.info(
            "\t├── ConfigRecord (%s): %s", stage, config_to_str(config) if config else "(empty!)"
        )


def log_round(server_round: int, num_rounds: int) -> None:
    """Log that a round begins."""
    logger.info("")
    logger.info("[ROUND %s/%s]", server_round, num_rounds)


def log_aggregated(metrics: MetricRecord) -> None:
    """Log metrics aggregated from replies."""
    logger.info("\t└──> Aggregated MetricRecord: %s", metrics)


def log_central_evaluation(metrics: MetricRecord | None) -> None:
    """Log what the ServerApp's own evaluation gave."""
    logger.info("Global evaluation")
    logger.info("\t└──> MetricRecord: %s", metrics)


def log_end(result: Result, elapsed_s: float) -> None:
    """Log how long it took and the result, line by line."""
    for line in ("", f"Strategy execution finished in {elapsed_s:.2f}s", "", "Final results:", ""):
        logger.info("%s", line)
    for line in str(result).splitlines():
        logger.info("\t%s", line)
    logger.info("")
