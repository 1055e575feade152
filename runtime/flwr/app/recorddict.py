"""RecordDict: the content of a message, records by name."""

import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.checkeddict import CheckedDict
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.metricrecord import MetricRecord

RecordType = ArrayRecord | MetricRecord | ConfigRecord
R = TypeVar("R", bound=RecordType)


class RecordDict(CheckedDict[str, RecordType]):
    """Records by name, in order.

    Args:
        records: entries to start with.
        parameters_records: deprecated, use ``records``.
        metrics_records: deprecated, use ``records``.
        configs_records: deprecated, use ``records``.

    Raises:
        TypeError: a name is no string or a value no record.
    """

    def __init__(
        self,
        records: Mapping[str, RecordType] | None = None,
        *,
        parameters_records: Mapping[str, ArrayRecord] | None = None,
        metrics_records: Mapping[str, MetricRecord] | None = None,
        configs_records: Mapping[str, ConfigRecord] | None = None,
    ) -> None:
        super().__init__()
        deprecated: dict[str, Any] = {
            "parameters_records": parameters_records,
            "metrics_records": metrics_records,
            "configs_records": configs_records,
        }
        self._copy_in(records or {}, keep_input=True)
        for name, given in deprecated.items():
            if given is not None:
                _warn_deprecated(f"the argument `{name}`", "`records`")
                self._copy_in(given, keep_input=True)

    def _check_key(self, key: str) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a record's name is a str, not {type(key)}")

    def _check_value(self, value: RecordType) -> None:
        if not isinstance(value, RecordType):
            raise TypeError(
                f"a RecordDict holds ArrayRecord, MetricRecord and ConfigRecord, not {type(value)}",
            )

    def __getitem__(self, key: str) -> Any:
        """Return a record, whose kind only its sender knows: Any, as apps use it without a check.

        ``array_records``, ``metric_records`` and ``config_records`` return records of known types.
        """
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: RecordType) -> None:
        before = self._entries.get(key)
        super().__setitem__(key, value)
        if before is not None and type(before) is not type(value):
            logger.warning(
                "Record '%s' changed its type from %s to %s",
                key,
                type(before).__name__,
                type(value).__name__,
            )

    @property
    def array_records(self) -> CheckedDict[str, ArrayRecord]:
        """The array records; what is set or deleted here is set or deleted in the RecordDict."""
        return _TypedView(self, ArrayRecord)

    @property
    def metric_records(self) -> CheckedDict[str, MetricRecord]:
        """The metric records; what is set or deleted here is set or deleted in the RecordDict."""
        return _TypedView(self, MetricRecord)

    @property
    def config_records(self) -> CheckedDict[str, ConfigRecord]:
        """The config records; what is set or deleted here is set or deleted in the RecordDict."""
        return _TypedView(self, ConfigRecord)

    @property
    def parameters_records(self) -> CheckedDict[str, ArrayRecord]:
        """Deprecated spelling of ``array_records``."""
        _warn_deprecated("`parameters_records`", "`array_records`")
        return self.array_records

    @property
    def metrics_records(self) -> CheckedDict[str, MetricRecord]:
        """Deprecated spelling of ``metric_records``."""
        _warn_deprecated("`metrics_records`", "`metric_records`")
        return self.metric_records

    @property
    def configs_records(self) -> CheckedDict[str, ConfigRecord]:
        """Deprecated spelling of ``config_records``."""
        _warn_deprecated("`configs_records`", "`config_records`")
        return self.config_records

    def __repr__(self) -> str:
        kinds = ("array_records", "metric_records", "config_records")
        lines = ",\n".join(f"  {kind}={getattr(self, kind)!r}" for kind in kinds)
        return f"{type(self).__name__}(\n{lines}\n)"


def records_of(content: RecordDict, kind: type[R]) -> dict[str, R]:
    """Return the records of one type: what is only read needs no view."""
    return {name: record for name, record in content.items() if isinstance(record, kind)}


class _TypedView(CheckedDict[str, R]):
    """The records of one type, as they were when the view was made; writes go through."""

    def __init__(self, whole: RecordDict, kind: type[R]) -> None:
        super().__init__()
        self._whole, self._kind = whole, kind
        self._entries = records_of(whole, kind)

    def _check_value(self, value: R) -> None:
        if not isinstance(value, self._kind):
            raise TypeError(f"this view holds {self._kind.__name__}, not {type(value)}")

    def __setitem__(self, key: str, value: R) -> None:
        self._check_value(value)
        self._whole[key] = value
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        del self._whole[key]


def _warn_deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated, use {new}", DeprecationWarning, stacklevel=3)
