"""Names under which a workflow keeps its state in the Context."""

from typing import Final

MAIN_CONFIGS_RECORD: Final = "config"
MAIN_PARAMS_RECORD: Final = "parameters"


class Key:
    """Names in the record ``config``."""

    CURRENT_ROUND: Final = "current_round"
    START_TIME: Final = "start_time"
