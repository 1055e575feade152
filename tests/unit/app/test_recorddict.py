import logging

import numpy as np
import pytest

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict


def sample() -> RecordDict:
    return RecordDict(
        {
            "arrays": ArrayRecord([np.ones(1)]),
            "metrics": MetricRecord({"loss": 0.5}),
            "config": ConfigRecord({"lr": 0.1}),
        }
    )


def test_typed_views_hold_the_records_of_their_type() -> None:
    records = sample()

    assert list(records.array_records) == ["arrays"]
    assert list(records.metric_records) == ["metrics"]
    assert list(records.config_records) == ["config"]


def test_writes_to_a_view_go_through() -> None:
    records = sample()

    records.metric_records["more"] = MetricRecord({"acc": 1.0})
    del records.config_records["config"]

    assert list(records) == ["arrays", "metrics", "more"]
    assert records["more"] == {"acc": 1.0}


def test_a_view_refuses_other_types_and_other_names() -> None:
    records = sample()

    with pytest.raises(TypeError, match="ArrayRecord"):
        records.array_records["x"] = MetricRecord()  # type: ignore[assignment]
    with pytest.raises(KeyError):
        del records.array_records["metrics"]
    assert list(records) == ["arrays", "metrics", "config"]


def test_only_records_under_strings_are_held() -> None:
    with pytest.raises(TypeError, match="ArrayRecord"):
        RecordDict({"x": 1})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="str"):
        RecordDict({1: MetricRecord()})  # type: ignore[dict-item]


def test_a_changed_type_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    records = sample()

    with caplog.at_level(logging.WARNING, "flwr"):
        records["arrays"] = ArrayRecord()
        records["arrays"] = MetricRecord()

    assert caplog.messages == ["Record 'arrays' changed its type from ArrayRecord to MetricRecord"]


def test_each_kind_has_a_line_of_its_own() -> None:
    shown = repr(RecordDict({"m": MetricRecord({"a": 1})}))

    assert shown.splitlines() == [
        "RecordDict(",
        "  array_records={},",
        "  metric_records={'m': {'a': 1}},",
        "  config_records={}",
        ")",
    ]


def test_deprecated_spellings_work_and_warn() -> None:
    with pytest.warns(DeprecationWarning, match="parameters_records"):
        records = RecordDict(parameters_records={"a": ArrayRecord()})
    with pytest.warns(DeprecationWarning, match="array_records"):
        assert list(records.parameters_records) == ["a"]


def test_copies_and_equality() -> None:
    records = sample()

    assert records.copy() == records
    assert records == dict(records)
    assert records != RecordDict()


@pytest.mark.parametrize("given", [[("config", ConfigRecord())], "config", 5])
def test_what_maps_no_names_is_refused(given: object) -> None:
    with pytest.raises(AttributeError, match="keys"):
        RecordDict(given)  # type: ignore[arg-type]


class NamedRecords:
    """Has names and items, and no way to iterate over it but Python's own, which counts."""

    def keys(self) -> list[str]:
        return ["config"]

    def __getitem__(self, key: object) -> ConfigRecord:
        assert isinstance(key, str), "what has an item for each number would never end"
        return ConfigRecord()


def test_names_are_asked_for_and_not_guessed_by_iterating() -> None:
    assert list(RecordDict(NamedRecords())) == ["config"]  # type: ignore[arg-type]
