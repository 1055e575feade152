"""What a client keeps between the stages of a round of SecAgg+, in its Context's state."""

from dataclasses import dataclass, field, fields
from typing import Any, Final, cast

from flwr.app.configrecord import ConfigRecordValues
from flwr.common.secure_aggregation.secaggplus_constants import Stage

_KEYS: Final = ":K"
_VALUES: Final = ":V"
_PAIRS: Final = "public_keys_dict"  # the only one whose values are pairs


@dataclass(init=False)
class SecAggPlusState:
    """One round, as one client sees it.

    Made of the entries of a ConfigRecord, as ``to_dict`` returns them; what is not given has its
    default.

    Attributes:
        current_stage: the stage last done.
        nid: the client's own id.
        sample_num: how many clients were sampled.
        share_num: how many shares a secret is split into.
        threshold: how many of them give the secret.
        clipping_range: parameters are clipped to plus and minus this.
        target_range: the largest quantized number.
        mod_range: sums are taken modulo this.
        max_weight: number of examples that stands for ``target_range``.
        sk1: the private key of the masks with neighbours, PEM; ``pk1`` its public half.
        sk2: the private key of what neighbours send each other, PEM; ``pk2`` its public half.
        rd_seed: seed of the client's own mask.
        rd_seed_share_dict: by node id, a share of that node's ``rd_seed``.
        sk1_share_dict: by node id, a share of that node's ``sk1``.
        ss2_dict: by node id, the key shared with that node for encryption.
        public_keys_dict: by node id, that node's ``pk1`` and ``pk2``.

    Raises:
        TypeError: an entry is none of these.
    """

    current_stage: str = Stage.UNMASK
    nid: int = 0
    sample_num: int = 0
    share_num: int = 0
    threshold: int = 0
    clipping_range: float = 0.0
    target_range: int = 0
    mod_range: int = 0
    max_weight: float = 0.0
    sk1: bytes = b""
    pk1: bytes = b""
    sk2: bytes = b""
    pk2: bytes = b""
    rd_seed: bytes = b""
    rd_seed_share_dict: dict[int, bytes] = field(default_factory=dict)
    sk1_share_dict: dict[int, bytes] = field(default_factory=dict)
    ss2_dict: dict[int, bytes] = field(default_factory=dict)
    public_keys_dict: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)

    def __init__(self, **kwargs: ConfigRecordValues) -> None:
        for name in _DICTS:
            setattr(self, name, {})
        for entry, value in kwargs.items():
            name = entry.removesuffix(_KEYS).removesuffix(_VALUES)
            if name not in _NAMES or (name == entry) is (name in _DICTS):
                raise TypeError(f"'{entry}' is no entry of the state of SecAgg+")
            if name == entry:
                setattr(self, name, value)
            elif entry.endswith(_KEYS):
                values = cast("list[bytes]", kwargs.get(name + _VALUES, []))
                setattr(self, name, _joined(name, cast("list[int]", value), values))

    def to_dict(self) -> dict[str, ConfigRecordValues]:
        """Return the entries of a ConfigRecord; a dict becomes two, its keys and its values."""
        entries: dict[str, ConfigRecordValues] = {}
        for name in _NAMES:
            value: Any = getattr(self, name)
            if name not in _DICTS:
                entries[name] = value
                continue
            entries[name + _KEYS] = list(value)
            entries[name + _VALUES] = _flat(name, list(value.values()))
        return entries


_NAMES: Final = tuple(f.name for f in fields(SecAggPlusState))
_DICTS: Final = frozenset(name for name in _NAMES if name.endswith("_dict"))


def _flat(name: str, values: list[Any]) -> list[bytes]:
    return [key for pair in values for key in pair] if name == _PAIRS else values


def _joined(name: str, keys: list[int], values: list[bytes]) -> dict[int, Any]:
    if name == _PAIRS:
        pairs = zip(values[::2], values[1::2], strict=True)
        return dict(zip(keys, pairs, strict=True))
    return dict(zip(keys, values, strict=True))
