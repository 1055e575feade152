"""Parameters, configuration, logger, constants."""

import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from flwr.app import ConfigRecord, UserConfig
from flwr.app.console_log import configure_console
from flwr.common import config, constant, date, logger, telemetry
from flwr.common.parameter import (
    bytes_to_ndarray,
    ndarray_to_bytes,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)


@pytest.fixture
def console() -> Iterator[StringIO]:
    handlers, level, propagate = logger.logger.handlers[:], logger.logger.level, True
    stream = StringIO()
    configure_console(stream)
    yield stream
    for handler in logger.logger.handlers:
        handler.close()
    logger.logger.handlers[:] = handlers
    logger.logger.setLevel(level)
    logger.logger.propagate = propagate


def test_ndarrays_come_back_equal_and_writable() -> None:
    given = [np.eye(2, dtype=np.float32), np.asarray(3), np.zeros(0)]

    parameters = ndarrays_to_parameters(given)

    assert parameters.tensor_type == "numpy.ndarray"
    back = parameters_to_ndarrays(parameters)
    assert [a.tolist() for a in back] == [a.tolist() for a in given]
    assert [a.dtype for a in back] == [a.dtype for a in given]
    assert all(a.flags.writeable for a in back)


def test_bytes_are_those_of_a_npy_file() -> None:
    written = ndarray_to_bytes(np.ones(2))

    assert written.startswith(b"\x93NUMPY\x01\x00")
    assert bytes_to_ndarray(written).tolist() == [1.0, 1.0]


def test_pickled_arrays_are_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="pickl"):
        ndarray_to_bytes(np.asarray([object()]))
    with pytest.raises(ValueError, match="magic"):
        bytes_to_ndarray(b"\x80\x04 a pickle")


def test_nested_configuration_is_flat_and_back() -> None:
    nested = {"a": {"b": 1, "c": {"d": True}}, "e": "f"}
    flat: UserConfig = {"a.b": 1, "a.c.d": True, "e": "f"}

    assert config.flatten_dict(nested) == flat
    assert config.unflatten_dict(flat) == nested
    assert config.flatten_dict(None) == {}
    assert config.flatten_dict({"x": 1}, "p") == {"p.x": 1}
    with pytest.raises(ValueError, match="list"):
        config.flatten_dict({"a": [1]})


def test_overrides_replace_known_keys() -> None:
    assert config.fuse_dicts({"a": 1, "b": 2}, {"b": 3}) == {"a": 1, "b": 3}
    assert config.fuse_dicts({"a": 1}, {"b": 3}, check_keys=False) == {"a": 1}
    with pytest.raises(ValueError, match="'b' is not present"):
        config.fuse_dicts({"a": 1}, {"b": 3})


def test_config_arguments_are_toml_literals() -> None:
    assert config.parse_config_args(["a=1 b.c='x'"]) == {"a": 1, "b.c": "x"}
    assert config.parse_config_args(["b.c=1"], flatten=False) == {"b": {"c": 1}}
    assert config.parse_config_args(None) == {}
    with pytest.raises(ValueError, match="foo"):
        config.parse_config_args(["foo"])
    assert config.user_config_to_configrecord({"a": 1}) == ConfigRecord({"a": 1})


def test_the_console_is_changed_in_one_respect_at_a_time(console: StringIO) -> None:
    logger.log(logging.INFO, "coloured")
    logger.update_console_handler(colored=False)
    logger.log(logging.DEBUG, "unseen")
    logger.update_console_handler(level=logging.DEBUG)
    logger.log(logging.DEBUG, "plain %s", 1)
    logger.update_console_handler(timestamps=True, level="INFO")
    logger.log(logging.INFO, "timed")
    logger.update_console_handler(colored=True, timestamps=False)
    logger.log(logging.INFO, "coloured again")

    lines = console.getvalue().splitlines()
    assert lines[0] == "\033[92mINFO \033[0m:      coloured"
    assert lines[1] == "DEBUG :     plain 1"
    assert lines[2].startswith("INFO 2")
    assert lines[2].endswith(":      timed")
    assert lines[3:] == ["\033[92mINFO \033[0m:      coloured again"]


def test_a_log_file_names_its_process(console: StringIO, tmp_path: Path) -> None:
    logger.configure("node 7", str(tmp_path / "log"), host="example.org")
    logger.log(logging.INFO, "hello")

    written = (tmp_path / "log").read_text()
    assert written.startswith("node 7 | INFO flwr ")
    assert written.endswith(" | hello\n")
    assert "example.org is ignored" in console.getvalue()
    child = logger.set_logger_propagation(logging.getLogger("flwr.child-of-test"), False)
    assert not child.propagate


def test_no_telemetry_is_sent() -> None:
    assert telemetry.event(telemetry.EventType.PING).result() == "disabled"


def test_constants_are_those_of_the_contract() -> None:
    assert (constant.DEFAULT_TTL, constant.GRPC_MAX_MESSAGE_LENGTH) == (43200, 2147483647)
    assert constant.PARTITION_ID_KEY == "partition-id"
    assert constant.SUPERLINK_NODE_ID == 1
    assert date.now().tzinfo is not None
