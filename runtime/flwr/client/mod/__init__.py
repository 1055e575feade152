"""Mods of legacy client apps; the differential privacy ones know what ``fit`` returns."""

from typing import TYPE_CHECKING, Final

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.client.mod.centraldp_mods import adaptiveclipping_mod, fixedclipping_mod
    from flwr.client.mod.localdp_mod import LocalDpMod
    from flwr.client.mod.secure_aggregation import secagg_mod, secaggplus_mod
    from flwr.clientapp.chain import make_ffn
    from flwr.clientapp.mod import arrays_size_mod, message_size_mod

__all__ = [
    "LocalDpMod",
    "adaptiveclipping_mod",
    "arrays_size_mod",
    "fixedclipping_mod",
    "make_ffn",
    "message_size_mod",
    "secagg_mod",
    "secaggplus_mod",
]

_NEW: Final = "flwr.clientapp.mod"
_CENTRAL: Final = f"{__name__}.centraldp_mods"
_SECURE: Final = f"{__name__}.secure_aggregation"

__getattr__ = legacy_names(
    __name__,
    {
        "LocalDpMod": (f"{__name__}.localdp_mod", f"{_NEW}.LocalDpMod"),
        "adaptiveclipping_mod": (_CENTRAL, f"{_NEW}.adaptiveclipping_mod"),
        "arrays_size_mod": (_NEW, f"{_NEW}.arrays_size_mod"),
        "fixedclipping_mod": (_CENTRAL, f"{_NEW}.fixedclipping_mod"),
        "make_ffn": ("flwr.clientapp.chain", "the argument mods of flwr.clientapp.ClientApp"),
        "message_size_mod": (_NEW, f"{_NEW}.message_size_mod"),
        "secagg_mod": (_SECURE, None),
        "secaggplus_mod": (_SECURE, None),
    },
    submodules={"centraldp_mods", "comms_mods", "localdp_mod", "secure_aggregation"},
)
