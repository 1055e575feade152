"""User configurations, simulation settings and app-less contexts <-> protobuf, without numpy."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId, RunId
from flwr.core.run_config import Config, ConfigValue
from flwr.core.simulation import SimulationConfig
from flwr.proto import federation_config_pb2, message_pb2, transport_pb2

_SINT64: Final = range(-(2**63), 2**63)
_SETTINGS: Final = tuple(field.name for field in fields(SimulationConfig))


def encode_config(config: Mapping[str, ConfigValue]) -> dict[str, transport_pb2.Scalar]:
    """Return the scalars of a map field (§7.3).

    Raises:
        InvalidError: an integer needs more than 64 bits with sign.
    """
    return {name: _encode_scalar(name, value) for name, value in config.items()}


def decode_config(scalars: Mapping[str, transport_pb2.Scalar]) -> Config:
    """Return the configuration, sorted by name because protobuf keeps no order in maps.

    Raises:
        InvalidError: a value is missing or is bytes.
    """
    return {name: _decode_scalar(name, scalars[name]) for name in sorted(scalars)}


def encode_simulation(config: SimulationConfig) -> federation_config_pb2.SimulationConfig:
    """Return the settings; what is None stays absent.

    Raises:
        InvalidError: a number is negative or too large for its field.
    """
    said = {name: getattr(config, name) for name in _SETTINGS}
    try:
        return federation_config_pb2.SimulationConfig(
            **{name: value for name, value in said.items() if value is not None},
        )
    except (ValueError, TypeError) as cause:
        raise InvalidError(f"simulation setting cannot be sent: {cause}") from cause


def decode_simulation(config: federation_config_pb2.SimulationConfig) -> SimulationConfig:
    """Return the settings; what is absent is None."""
    said = {field.name: value for field, value in config.ListFields()}
    return SimulationConfig(**{name: said.get(name) for name in _SETTINGS})


def new_context(
    run_id: RunId,
    node_id: NodeId,
    *,
    node_config: Mapping[str, ConfigValue],
    run_config: Mapping[str, ConfigValue],
) -> message_pb2.Context:
    """Return the context of an app that has no state yet."""
    context = message_pb2.Context(
        run_id=run_id,
        node_id=node_id,
        node_config=encode_config(node_config),
        run_config=encode_config(run_config),
    )
    context.state.SetInParent()
    return context


def _encode_scalar(name: str, value: ConfigValue) -> transport_pb2.Scalar:
    match value:
        case bool():
            return transport_pb2.Scalar(bool=value)
        case int() if value in _SINT64:
            return transport_pb2.Scalar(sint64=value)
        case float():
            return transport_pb2.Scalar(double=value)
        case str():
            return transport_pb2.Scalar(string=value)
    raise InvalidError(f"config value {name}={value!r} does not fit into 64 bits with sign")


def _decode_scalar(name: str, scalar: transport_pb2.Scalar) -> ConfigValue:
    match scalar.WhichOneof("scalar"):
        case "bool":
            return scalar.bool
        case "sint64":
            return scalar.sint64
        case "uint64":
            return scalar.uint64
        case "double":
            return scalar.double
        case "string":
            return scalar.string
    raise InvalidError(f"config value {name} is missing or bytes; bool, int, float or string")
