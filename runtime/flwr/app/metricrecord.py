"""MetricRecord: named numbers, such as losses and counts."""

from collections.abc import Mapping
from typing import Final

from flwr.app.checkeddict import CheckedDict, require_scalar_or_list, require_str_key

MetricScalar = int | float
MetricRecordValues = MetricScalar | list[int] | list[float]

_SCALARS: Final = (int, float)
_NUMBER_BYTES: Final = 8


class MetricRecord(CheckedDict[str, MetricRecordValues]):
    """Names mapped to int, float, or a list of one of them; bool is refused.

    Args:
        metric_dict: entries to copy.
        keep_input: False empties ``metric_dict`` while copying.

    Raises:
        TypeError: a key is no string or a value of no allowed type.
    """

    def __init__(
        self,
        metric_dict: Mapping[str, MetricRecordValues] | None = None,
        keep_input: bool = True,
    ) -> None:
        super().__init__()
        self._copy_in(metric_dict or {}, keep_input=keep_input)

    def _check_key(self, key: str) -> None:
        require_str_key(key)

    def _check_value(self, value: MetricRecordValues) -> None:
        require_scalar_or_list(value, _SCALARS, no_bool=True)

    def count_bytes(self) -> int:
        """Return 8 per number plus the lengths of the names."""
        numbers = sum(len(v) if isinstance(v, list) else 1 for v in self.values())
        return _NUMBER_BYTES * numbers + sum(map(len, self))
