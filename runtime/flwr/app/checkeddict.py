"""CheckedDict: the mutable mapping under every record; each write is checked."""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Self, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class CheckedDict(MutableMapping[K, V]):
    """A dictionary that refuses wrong entries; insertion order is kept.

    Subclasses override ``_check_key`` and ``_check_value`` and raise TypeError there.
    """

    def __init__(self) -> None:
        self._entries: dict[K, V] = {}

    def _check_key(self, key: K) -> None:
        """Raise TypeError if ``key`` may not be used."""

    def _check_value(self, value: V) -> None:
        """Raise TypeError if ``value`` may not be stored."""

    def _copy_in(self, entries: Mapping[K, V], *, keep_input: bool) -> None:
        """Set all of ``entries``; without ``keep_input``, each leaves there once it is here."""
        for key in list(entries.keys()):
            self[key] = entries[key]
            if not keep_input and isinstance(entries, MutableMapping):
                del entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        self._check_key(key)
        self._check_value(value)
        self._entries[key] = value

    def __getitem__(self, key: K) -> V:
        return self._entries[key]

    def __delitem__(self, key: K) -> None:
        del self._entries[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __repr__(self) -> str:
        return repr(self._entries)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CheckedDict):
            return self._entries == other._entries
        if isinstance(other, dict):
            return self._entries == other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable

    def keys(self) -> KeysView[K]:
        """Return the live view of the keys."""
        return self._entries.keys()

    def values(self) -> ValuesView[V]:
        """Return the live view of the values."""
        return self._entries.values()

    def items(self) -> ItemsView[K, V]:
        """Return the live view of the entries."""
        return self._entries.items()

    def copy(self) -> Self:
        """Return a shallow copy of the same class."""
        twin = self.__class__.__new__(self.__class__)
        vars(twin).update(vars(self), _entries=self._entries.copy())
        return twin


def require_str_key(key: object) -> None:
    """Refuse a key that is no string.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(key, str):
        raise TypeError(f"a key is a str, not {type(key)}")


def require_scalar_or_list(value: object, scalars: tuple[type, ...], *, no_bool: bool) -> None:
    """Refuse what is neither one of ``scalars`` nor a list whose elements are all like its first.

    Args:
        value: what is to be stored.
        scalars: allowed types; instances of subclasses (numpy's float64 is a float) pass.
        no_bool: bool is an int to Python; True refuses it as a scalar and as first element.

    Raises:
        TypeError: naming the allowed types.
    """
    if _is_scalar(value, scalars, no_bool=no_bool):
        return
    names = " | ".join(scalar.__name__ for scalar in scalars)
    if not isinstance(value, list):
        raise TypeError(f"a value is {names}, or a list of one of them, not {type(value)}")
    if value and not _is_scalar(value[0], scalars, no_bool=no_bool):
        raise TypeError(f"a list holds {names}, not {type(value[0])}")
    if not all(isinstance(element, type(value[0])) for element in value):
        raise TypeError(f"all elements of a list have the type of the first, {type(value[0])}")


def _is_scalar(value: object, scalars: tuple[type, ...], *, no_bool: bool) -> bool:
    return isinstance(value, scalars) and not (no_bool and isinstance(value, bool))
