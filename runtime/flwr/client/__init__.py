"""Legacy names of a client's half of an app.

A thin layer on ``flwr.clientapp``, loaded on first use, with one DeprecationWarning per name that
says what to use instead.  Nothing of ours imports it.
"""

from typing import TYPE_CHECKING, Final

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.client import mod
    from flwr.client.client import Client
    from flwr.client.dpfedavg_numpy_client import DPFedAvgNumPyClient
    from flwr.client.numpy_client import NumPyClient
    from flwr.client.start import start_client, start_numpy_client
    from flwr.client.typing import ClientFn, ClientFnExt
    from flwr.clientapp import ClientApp

__all__ = [
    "Client",
    "ClientApp",
    "ClientFn",
    "ClientFnExt",
    "DPFedAvgNumPyClient",
    "NumPyClient",
    "mod",
    "start_client",
    "start_numpy_client",
]

_DECORATED: Final = "functions of a flwr.clientapp.ClientApp: @app.train(), @app.evaluate()"
_SUPERNODE: Final = "the command flower-supernode"

__getattr__ = legacy_names(
    __name__,
    {
        "Client": (f"{__name__}.client", _DECORATED),
        "ClientApp": ("flwr.clientapp", "flwr.clientapp.ClientApp"),
        "ClientFn": (f"{__name__}.typing", _DECORATED),
        "ClientFnExt": (f"{__name__}.typing", _DECORATED),
        "DPFedAvgNumPyClient": (
            f"{__name__}.dpfedavg_numpy_client",
            "flwr.clientapp.mod.fixedclipping_mod or adaptiveclipping_mod",
        ),
        "NumPyClient": (f"{__name__}.numpy_client", _DECORATED),
        "start_client": (f"{__name__}.start", _SUPERNODE),
        "start_numpy_client": (f"{__name__}.start", _SUPERNODE),
    },
    submodules={"client", "dpfedavg_numpy_client", "mod", "numpy_client", "typing"},
)
