"""Whether an instruction of SecAgg+ has the form it must have, and comes at its time."""

from collections.abc import Iterable
from typing import Final

from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.common.secure_aggregation.secaggplus_constants import Key, Stage

_SETUP_TYPES: Final[dict[str, type]] = {
    Key.SAMPLE_NUMBER: int,
    Key.SHARE_NUMBER: int,
    Key.THRESHOLD: int,
    Key.CLIPPING_RANGE: float,
    Key.TARGET_RANGE: int,
    Key.MOD_RANGE: int,
}
_LIST_TYPES: Final[dict[str, dict[str, type]]] = {
    Stage.COLLECT_MASKED_VECTORS: {Key.CIPHERTEXT_LIST: bytes, Key.SOURCE_LIST: int},
    Stage.UNMASK: {Key.ACTIVE_NODE_ID_LIST: int, Key.DEAD_NODE_ID_LIST: int},
}


def check_stage(current_stage: str, configs: ConfigRecord) -> None:
    """Check that the stage asked for follows ``current_stage``; ``setup`` starts afresh any time.

    Raises:
        KeyError: no stage is named.
        TypeError: it is no string.
        ValueError: it does not follow.
    """
    if Key.STAGE not in configs:
        raise KeyError(f"the ConfigRecord lacks the required key '{Key.STAGE}'")
    stage = configs[Key.STAGE]
    if not isinstance(stage, str):
        raise TypeError(f"'{Key.STAGE}' must be a str, not {type(stage).__name__}")
    stages = Stage.all()
    if stage == Stage.SETUP:
        if current_stage != Stage.UNMASK:
            logger.warning("Restart from the setup stage")
        return
    expected = stages[(stages.index(current_stage) + 1) % len(stages)]
    if stage != expected:
        raise ValueError(
            f"Abort secure aggregation: expect {expected} stage, but receive {stage} stage"
        )


def check_configs(stage: str, configs: ConfigRecord) -> None:
    """Check the names and types of the entries that ``stage`` needs; others are passed over.

    Raises:
        KeyError: an entry is missing.
        TypeError: one has the wrong type.
        ValueError: there is no such stage.
    """
    if stage == Stage.SETUP:
        _check_setup(configs)
    elif stage == Stage.SHARE_KEYS:
        _check_share_keys(configs)
    elif stage in _LIST_TYPES:
        _check_lists(stage, configs)
    else:
        raise ValueError(f"Unknown secagg stage: {stage}")


def _check_setup(configs: ConfigRecord) -> None:
    _check_presence(Stage.SETUP, configs, _SETUP_TYPES)
    for key, wanted in _SETUP_TYPES.items():
        if type(configs[key]) is not wanted:  # a bool is no number here
            raise TypeError(
                f"Stage {Stage.SETUP}: '{key}' must be of type {wanted.__name__}, "
                f"not {type(configs[key]).__name__}"
            )


def _check_share_keys(configs: ConfigRecord) -> None:
    for key, value in configs.items():
        if key == Key.STAGE:
            continue
        if not (isinstance(value, list) and [type(item) for item in value] == [bytes, bytes]):
            raise TypeError(f"Stage {Stage.SHARE_KEYS}: '{key}' must be a list of two bytes")


def _check_lists(stage: str, configs: ConfigRecord) -> None:
    _check_presence(stage, configs, _LIST_TYPES[stage])
    for key, wanted in _LIST_TYPES[stage].items():
        value = configs[key]
        if not isinstance(value, list) or any(type(item) is not wanted for item in value):
            raise TypeError(f"Stage {stage}: '{key}' must be a list of {wanted.__name__}")


def _check_presence(stage: str, configs: ConfigRecord, keys: Iterable[str]) -> None:
    for key in keys:
        if key not in configs:
            raise KeyError(f"Stage {stage}: the ConfigRecord lacks the required key '{key}'")
