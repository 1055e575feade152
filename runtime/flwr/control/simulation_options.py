"""Settings of a simulated federation as users write them: dashed keys, nested or flat."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from flwr.core.errors import InvalidError
from flwr.core.run_config import Config, flatten, parse_pairs
from flwr.core.simulation import SimulationConfig

_FIELD_OF: Final = {field.name.replace("_", "-"): field.name for field in fields(SimulationConfig)}
# Spelling of connection files: backend.client-resources.num-cpus = client-resources-num-cpus.
_OPTION_PREFIX: Final = "backend."
_BACKEND_NAME: Final = "backend.name"
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "num_supernodes": (int,),
    "client_resources_num_cpus": (int,),
    "client_resources_num_gpus": (int, float),
    "backend": (str,),
    "verbose": (bool,),
    "init_args_num_cpus": (int,),
    "init_args_num_gpus": (int,),
    "init_args_logging_level": (str,),
    "init_args_log_to_driver": (bool,),
}


class SimulationOptionError(InvalidError):
    """A setting of the simulation is unknown or has the wrong type."""


def parse_federation_config(texts: Sequence[str]) -> SimulationConfig | None:
    """Read ``--federation-config`` values; None when there are none.

    Raises:
        ConfigSyntaxError: a text is not made of key=value pairs.
        SimulationOptionError: a key or type is wrong.
    """
    pairs: Config = {}
    for text in texts:
        pairs |= parse_pairs(text)
    return _build(pairs, where="--federation-config") if pairs else None


def read_options(table: Mapping[str, Any], *, where: str) -> SimulationConfig | None:
    """Read the ``options`` of a connection; None when there are none.

    Raises:
        SimulationOptionError: a key or type is wrong.
    """
    pairs = {_flat_key(key): value for key, value in flatten(table).items()}
    return _build(pairs, where=where) if pairs else None


def _flat_key(key: str) -> str:
    if key == _BACKEND_NAME:
        return "backend"
    return key.removeprefix(_OPTION_PREFIX).replace(".", "-")


def _build(pairs: Mapping[str, Any], *, where: str) -> SimulationConfig:
    config: dict[str, Any] = {}
    for key, value in pairs.items():
        if key not in _FIELD_OF:
            raise SimulationOptionError(
                f"{where}: unknown key {key!r}",
                hint=f"known keys: {', '.join(_FIELD_OF)}",
            )
        name = _FIELD_OF[key]
        if not isinstance(value, _KINDS[name]) or (
            isinstance(value, bool) and bool not in _KINDS[name]
        ):
            wanted = " or ".join(kind.__name__ for kind in _KINDS[name])
            raise SimulationOptionError(f"{where}: {key} must be {wanted}, got {value!r}")
        config[name] = value
    return SimulationConfig(**config)
