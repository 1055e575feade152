"""Settings of the simulated federation: built in, changed by its members, overridden by a run.

What members change is kept over a restart.
"""

import json
from dataclasses import asdict, fields
from typing import Any, Final

from flwr.core.simulation import SimulationConfig
from flwr.store.store import Tx

_CHANGED: Final = "simulation-config"  # what members changed, in the store's small facts
_FIELDS: Final = {field.name for field in fields(SimulationConfig)}
BUILT_IN: Final = SimulationConfig(
    num_supernodes=10,
    client_resources_num_cpus=2,
    client_resources_num_gpus=0.0,
    backend="ray",
    verbose=False,
    init_args_logging_level="WARNING",
    init_args_log_to_driver=True,
)


def current_settings(tx: Tx) -> SimulationConfig:
    """Return what a run gets that says nothing itself."""
    return BUILT_IN.overridden_by(_changed(tx))


def change_settings(tx: Tx, said: SimulationConfig) -> SimulationConfig:
    """Keep what ``said`` sets, leave the rest; return the result."""
    changed = _changed(tx).overridden_by(said)
    tx.meta.set(_CHANGED, json.dumps(asdict(changed)))
    return BUILT_IN.overridden_by(changed)


def _changed(tx: Tx) -> SimulationConfig:
    stored: dict[str, Any] = json.loads(tx.meta.get(_CHANGED) or "{}")
    return SimulationConfig(**{k: v for k, v in stored.items() if k in _FIELDS})
