"""Array: one tensor as bytes, with what is needed to read them."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from flwr.app.depot import deposited
from flwr.app.npy import Header, blocks, copied, decode_parts, header_of, ndarray_parts
from flwr.app.parts import Parts, Place, joined

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

NUMPY_STYPE: Final = "numpy.ndarray"
"""The serialization written by this package: a ``.npy`` file without pickling."""

_WORTH_A_DEPOSIT: Final = 4_194_304  # bytes; who keeps it may want more
_REMEMBERED: Final = 64  # names of types
_SHOWN: Final = 40  # characters of what somebody else calls a type
_FIELDS: Final = ("dtype", "shape", "stype", "data")


class _ArrayFormError(TypeError):
    """The arguments fit none of the forms of ``Array``."""

    def __init__(self) -> None:
        super().__init__(
            "Array takes one NumPy ndarray, one PyTorch tensor, or the four values dtype (str), "
            "shape (tuple of int), stype (str) and data (bytes)",
        )


@dataclass(init=False)
class Array:
    """A tensor as it travels: ``Array(ndarray)``, ``Array(torch_tensor)`` or the four fields.

    Attributes:
        dtype: numpy's name of the element type, such as ``float32``.
        shape: lengths of the axes.
        stype: how ``data`` was written; ``numpy.ndarray`` means a ``.npy`` file.
        data: the bytes.

    Raises:
        TypeError: the arguments fit none of the three forms.
        ValueError: the ndarray holds Python objects.
    """

    dtype: str
    shape: tuple[int, ...]
    stype: str
    data: bytes

    @overload
    def __init__(self, dtype: str, shape: tuple[int, ...], stype: str, data: bytes) -> None: ...
    @overload
    def __init__(self, ndarray: NDArray[Any]) -> None: ...
    @overload
    def __init__(self, torch_tensor: "torch.Tensor") -> None: ...

    def __init__(self, *args: Any, **named: Any) -> None:
        given = _bind(args, {name: value for name, value in named.items() if value is not None})
        if given.keys() == {"torch_tensor"} and is_tensor(given["torch_tensor"]):
            given = {"ndarray": _ndarray_of(given["torch_tensor"])}
        if given.keys() == {"ndarray"} and isinstance(given["ndarray"], np.ndarray):
            ndarray = given["ndarray"]
            vars(self).update(
                dtype=_name_of(ndarray.dtype), shape=tuple(ndarray.shape), stype=NUMPY_STYPE
            )
            is_large = ndarray.nbytes >= _WORTH_A_DEPOSIT and not ndarray.dtype.hasobject
            if is_large and (copy := deposited(ndarray_parts(ndarray))) is not None:
                vars(self).update(_lent=copy.parts, _ids=copy.ids)
            else:
                vars(self)["_lent"] = (copied(ndarray),)
        elif given.keys() == set(_FIELDS) and _are_fields(given):
            self.dtype, self.shape = given["dtype"], given["shape"]
            self.stype, self.data = given["stype"], bytes(given["data"])
        else:
            raise _ArrayFormError

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field and forget what was derived from the old one."""
        if name in _FIELDS:
            vars(self).pop("_derived", None)
        if name == "data":
            vars(self).pop("_lent", None)
            vars(self).pop("_ids", None)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Put lent data together on the first look at them; called for what is not there only."""
        lent: Parts | None = vars(self).get("_lent")
        if name != "data" or lent is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        data = joined(lent)
        vars(self)["data"] = data
        del vars(self)["_lent"]
        return data

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take along: the fields, not what was derived from them."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_numpy_ndarray(cls, ndarray: NDArray[Any]) -> "Array":
        """Return the array that carries ``ndarray``."""
        return cls(ndarray)

    @classmethod
    def from_torch_tensor(cls, tensor: "torch.Tensor") -> "Array":
        """Return the array that carries ``tensor``, detached and moved to the CPU.

        Raises:
            RuntimeError: the app never imported torch.
        """
        require_torch()
        return cls(torch_tensor=tensor)

    def numpy(self) -> NDArray[Any]:
        """Return the tensor as a fresh, writable ndarray.

        Raises:
            TypeError: ``data`` was not written by numpy.
            ValueError: ``data`` is damaged.
        """
        _require_numpy(self)
        return decode_parts(parts_of(self))


@lru_cache(_REMEMBERED)
def _name_of(dtype: np.dtype[Any]) -> str:
    """Return numpy's name of a type, which takes numpy a dozen functions."""
    return str(dtype)


def lend(
    dtype: str, shape: tuple[int, ...], stype: str, *data: Place, ids: Sequence[str] = ()
) -> Array:
    """Return an array over memory of somebody else, which is copied only if ``data`` is read.

    Args:
        dtype: see ``Array``.
        shape: see ``Array``.
        stype: see ``Array``.
        data: bytes, or views that stay as they are for as long as they live, one after the other.
        ids: of the objects that the data are sent as, if these are known.
    """
    array = Array.__new__(Array)
    vars(array).update(dtype=dtype, shape=shape, stype=stype, _lent=data, _ids=ids)
    return array


def own(ndarray: NDArray[Any]) -> Array:
    """Return an array over the elements of ``ndarray``, which nobody may write to any more."""
    dtype = _name_of(ndarray.dtype)
    return lend(dtype, tuple(ndarray.shape), NUMPY_STYPE, *ndarray_parts(ndarray))


def twin(array: Array) -> Array:
    """Return another array over the same bytes."""
    made = Array.__new__(Array)
    vars(made).update({name: value for name, value in vars(array).items() if name != "_derived"})
    return made


def raw(array: Array) -> Place:
    """Return the data in one piece, not copied if that is how they lie: not to be kept."""
    lent: Parts | None = vars(array).get("_lent")
    return array.data if lent is None or len(lent) != 1 else lent[0]


def parts_of(array: Array) -> Parts:
    """Return the data where they lie: to be read, and not to be kept."""
    lent: Parts | None = vars(array).get("_lent")
    return (array.data,) if lent is None else lent


def hand_over(array: Array) -> None:
    """Have memory that an array was lent kept elsewhere, if there is a place (``app.depot``)."""
    lent: Parts | None = vars(array).get("_lent")
    if lent is not None and not known_ids(array) and (copy := deposited(lent)) is not None:
        vars(array).update(_lent=copy.parts, _ids=copy.ids)


def known_ids(array: Array) -> Sequence[str]:
    """Return the ids of the objects that the data are sent as, as far as somebody knows them."""
    ids: Sequence[str] = vars(array).get("_ids", ())
    return ids


def scan(array: Array) -> tuple[Header, Iterator[NDArray[Any]]]:
    """Return what an array is, and its elements in the order in which they lie.

    They come in blocks on one axis, each good until the next; nobody may write to them.

    Raises:
        TypeError: ``data`` was not written by numpy.
        ValueError: ``data`` is damaged.
    """
    _require_numpy(array)
    parts = parts_of(array)
    header = header_of(parts)
    return header, blocks(parts, header)


def require_sound(array: Array) -> None:
    """Check that ``data`` hold what the other fields say; of a ``.npy`` file its header is read.

    What was not written by numpy is for the app to judge, and so is a type of several fields,
    which numpy names in more than one way.

    Raises:
        ValueError: ``data`` is damaged, or another array than the fields say.
    """
    if array.stype != NUMPY_STYPE:
        return
    try:
        header, _ = scan(array)
    except ValueError as cause:
        raise ValueError(f"its data are no array: {cause}") from cause
    dtype = header.dtype
    if header.shape != tuple(array.shape):
        raise ValueError(f"it says shape {array.shape}, its data have {header.shape}")
    if dtype.kind != "V" and array.dtype not in {_name_of(dtype), dtype.str, dtype.name}:
        raise ValueError(f"it says dtype {array.dtype[:_SHOWN]}, its data have {dtype}")


def derived(array: Array, make: Callable[[Array], T]) -> T:
    """Return ``make(array)``, computed once per array and again after a field was set.

    For what is costly and depends on the four fields only, such as hashes of a model that goes to
    many nodes.
    """
    memory: dict[Any, Any] = vars(array).setdefault("_derived", {})
    if make not in memory:
        memory[make] = make(array)
    made: T = memory[make]
    return made


def is_tensor(value: object) -> bool:
    """Tell whether ``value`` is a torch tensor, without ever importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def require_torch() -> Any:
    """Return the torch module the app has imported.

    Raises:
        RuntimeError: it has not.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        raise RuntimeError("PyTorch is not loaded: install it and `import torch` in the app first")
    return torch


def _require_numpy(array: Array) -> None:
    if array.stype != NUMPY_STYPE:
        raise TypeError(
            f"cannot turn stype '{array.stype}' into an ndarray, only '{NUMPY_STYPE}'",
        )


def _ndarray_of(tensor: Any) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().numpy())


def _bind(args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Name the positional arguments; a name given twice is refused."""
    if len(args) == 1 and not isinstance(args[0], str):
        positional = {"torch_tensor" if is_tensor(args[0]) else "ndarray": args[0]}
    elif len(args) <= len(_FIELDS):
        positional = dict(zip(_FIELDS, args, strict=False))
    else:
        raise _ArrayFormError
    if positional.keys() & named.keys():
        raise _ArrayFormError
    return {**positional, **named}


def _are_fields(given: Mapping[str, Any]) -> bool:
    return (
        isinstance(given["dtype"], str)
        and isinstance(given["shape"], tuple)
        and all(isinstance(length, int) for length in given["shape"])
        and isinstance(given["stype"], str)
        and isinstance(given["data"], bytes | bytearray | memoryview)
    )
