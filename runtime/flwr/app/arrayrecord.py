"""ArrayRecord: the named arrays of one model."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from flwr.app.array import Array, is_tensor, parts_of, require_torch, twin
from flwr.app.checkeddict import CheckedDict, require_str_key

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


class _ArrayRecordFormError(TypeError):
    """The arguments fit none of the forms of ``ArrayRecord``."""

    def __init__(self) -> None:
        super().__init__(
            "ArrayRecord takes one list of NumPy ndarrays, one PyTorch state dict, or one dict of "
            "Array; keep_input goes by keyword",
        )


class ArrayRecord(CheckedDict[str, Array]):
    """Arrays by name, in order: from a dict of Array, a list of ndarrays, or a torch state dict.

    A list gets the names ``"0"``, ``"1"``, and so on.

    Args:
        keep_input: False empties the input while converting it, so that a large model is never
            held twice.

    Raises:
        TypeError: the arguments fit none of the three forms.
    """

    @overload
    def __init__(self) -> None: ...
    @overload
    def __init__(self, array_dict: dict[str, Array], *, keep_input: bool = True) -> None: ...
    @overload
    def __init__(
        self,
        numpy_ndarrays: list[NDArray[Any]],
        *,
        keep_input: bool = True,
    ) -> None: ...
    @overload
    def __init__(
        self,
        torch_state_dict: "dict[str, torch.Tensor]",
        *,
        keep_input: bool = True,
    ) -> None: ...

    def __init__(self, *args: Any, keep_input: bool = True, **named: Any) -> None:
        super().__init__()
        if unknown := named.keys() - _FORMS.keys():
            raise TypeError(f"ArrayRecord() got unexpected keyword arguments {sorted(unknown)}")
        given = [*args, *(value for value in named.values() if value is not None)]
        if len(args) > 1 or len(given) > 1:
            raise _ArrayRecordFormError
        if not given or given[0] is None:
            return
        (source,) = given
        forms = (
            list(_FORMS.values()) if args else [_FORMS[k] for k, v in named.items() if v is source]
        )
        for fits, convert in forms:
            if fits(source):
                self._fill(source, convert, keep_input=keep_input)
                return
        raise _ArrayRecordFormError

    def _fill(
        self,
        source: "dict[str, Any] | list[Any]",
        convert: Callable[[Any], Array],
        *,
        keep_input: bool,
    ) -> None:
        if isinstance(source, list):
            for index, value in enumerate(source):
                self[str(index)] = convert(value)
                if not keep_input:
                    source[index] = None
        else:
            for name in list(source):
                self[name] = convert(source[name])
                if not keep_input:
                    del source[name]
        if not keep_input:
            source.clear()

    @classmethod
    def from_array_dict(
        cls,
        array_dict: dict[str, Array],
        *,
        keep_input: bool = True,
    ) -> "ArrayRecord":
        """Return a record of new Array objects that share the bytes of ``array_dict``."""
        return cls(array_dict=array_dict, keep_input=keep_input)

    @classmethod
    def from_numpy_ndarrays(
        cls,
        ndarrays: list[NDArray[Any]],
        *,
        keep_input: bool = True,
    ) -> "ArrayRecord":
        """Return a record of ``ndarrays`` under the names ``"0"``, ``"1"``, and so on."""
        return cls(numpy_ndarrays=ndarrays, keep_input=keep_input)

    @classmethod
    def from_torch_state_dict(
        cls,
        state_dict: "dict[str, torch.Tensor]",
        *,
        keep_input: bool = True,
    ) -> "ArrayRecord":
        """Return a record of the tensors of ``state_dict``."""
        return cls(torch_state_dict=state_dict, keep_input=keep_input)

    def _check_key(self, key: str) -> None:
        require_str_key(key)

    def _check_value(self, value: Array) -> None:
        if not isinstance(value, Array):
            raise TypeError(f"an ArrayRecord holds Array, not {type(value)}")

    def to_numpy_ndarrays(self, *, keep_input: bool = True) -> list[NDArray[Any]]:
        """Return fresh ndarrays in the order of the record; ``keep_input=False`` empties it."""
        return [self._take(name, keep_input=keep_input).numpy() for name in list(self)]

    def to_torch_state_dict(
        self,
        *,
        keep_input: bool = True,
    ) -> "OrderedDict[str, torch.Tensor]":
        """Return CPU tensors by name; ``keep_input=False`` empties the record.

        Raises:
            RuntimeError: the app never imported torch.
        """
        torch = require_torch()
        return OrderedDict(
            (name, torch.from_numpy(self._take(name, keep_input=keep_input).numpy()))
            for name in list(self)
        )

    def _take(self, name: str, *, keep_input: bool) -> Array:
        return self[name] if keep_input else self.pop(name)

    def count_bytes(self) -> int:
        """Return the lengths of all data and of the names."""
        return sum(len(name) + sum(map(len, parts_of(array))) for name, array in self.items())


def _is_dict_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    def check(source: object) -> bool:
        return isinstance(source, dict) and all(
            isinstance(name, str) and fits(value) for name, value in source.items()
        )

    return check


def _is_array(value: object) -> bool:
    return isinstance(value, Array)


def _is_ndarray_list(source: object) -> bool:
    return isinstance(source, list) and all(isinstance(value, np.ndarray) for value in source)


_FORMS: "dict[str, tuple[Callable[[object], bool], Callable[[Any], Array]]]" = {
    "array_dict": (_is_dict_of(_is_array), twin),
    "numpy_ndarrays": (_is_ndarray_list, Array.from_numpy_ndarray),
    "torch_state_dict": (_is_dict_of(is_tensor), Array.from_torch_tensor),
}
