"""ConfigRecord: named settings that travel with a message."""

from collections.abc import Mapping
from typing import Final

from flwr.app.checkeddict import CheckedDict, require_scalar_or_list, require_str_key

ConfigScalar = int | float | str | bytes | bool
ConfigRecordValues = ConfigScalar | list[int] | list[float] | list[str] | list[bytes] | list[bool]

_SCALARS: Final = (int, float, str, bytes, bool)
_NUMBER_BYTES: Final = 8


class ConfigRecord(CheckedDict[str, ConfigRecordValues]):
    """Names mapped to int, float, str, bytes, bool, or a list of one of them.

    Args:
        config_dict: entries to copy.
        keep_input: False empties ``config_dict`` while copying.

    Raises:
        TypeError: a key is no string or a value of no allowed type.
    """

    def __init__(
        self,
        config_dict: Mapping[str, ConfigRecordValues] | None = None,
        keep_input: bool = True,
    ) -> None:
        super().__init__()
        self._copy_in(config_dict or {}, keep_input=keep_input)

    def _check_key(self, key: str) -> None:
        require_str_key(key)

    def _check_value(self, value: ConfigRecordValues) -> None:
        require_scalar_or_list(value, _SCALARS, no_bool=False)

    def count_bytes(self) -> int:
        """Return 1 per bool, 8 per number, the length of texts and bytes, and of the names."""
        return sum(len(name) + _size(value) for name, value in self.items())


def _size(value: ConfigRecordValues) -> int:
    if isinstance(value, list):
        return sum(map(_size, value))
    if isinstance(value, bool):
        return 1
    return len(value) if isinstance(value, str | bytes) else _NUMBER_BYTES
