"""Legacy strategies; their successors are those of ``flwr.serverapp.strategy``."""

from typing import TYPE_CHECKING, Final

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.server.strategy.bulyan import Bulyan
    from flwr.server.strategy.dp_adaptive_clipping import (
        DifferentialPrivacyClientSideAdaptiveClipping,
        DifferentialPrivacyServerSideAdaptiveClipping,
    )
    from flwr.server.strategy.dp_fixed_clipping import (
        DifferentialPrivacyClientSideFixedClipping,
        DifferentialPrivacyServerSideFixedClipping,
    )
    from flwr.server.strategy.dpfedavg_adaptive import DPFedAvgAdaptive
    from flwr.server.strategy.dpfedavg_fixed import DPFedAvgFixed
    from flwr.server.strategy.fault_tolerant_fedavg import FaultTolerantFedAvg
    from flwr.server.strategy.fedadagrad import FedAdagrad
    from flwr.server.strategy.fedadam import FedAdam
    from flwr.server.strategy.fedavg import FedAvg
    from flwr.server.strategy.fedavg_android import FedAvgAndroid
    from flwr.server.strategy.fedavgm import FedAvgM
    from flwr.server.strategy.fedmedian import FedMedian
    from flwr.server.strategy.fedopt import FedOpt
    from flwr.server.strategy.fedprox import FedProx
    from flwr.server.strategy.fedtrimmedavg import FedTrimmedAvg
    from flwr.server.strategy.fedxgb_bagging import FedXgbBagging
    from flwr.server.strategy.fedxgb_cyclic import FedXgbCyclic
    from flwr.server.strategy.fedyogi import FedYogi
    from flwr.server.strategy.krum import Krum
    from flwr.server.strategy.qfedavg import QFedAvg
    from flwr.server.strategy.strategy import Strategy

__all__ = [
    "Bulyan",
    "DPFedAvgAdaptive",
    "DPFedAvgFixed",
    "DifferentialPrivacyClientSideAdaptiveClipping",
    "DifferentialPrivacyClientSideFixedClipping",
    "DifferentialPrivacyServerSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping",
    "FaultTolerantFedAvg",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgAndroid",
    "FedAvgM",
    "FedMedian",
    "FedOpt",
    "FedProx",
    "FedTrimmedAvg",
    "FedXgbBagging",
    "FedXgbCyclic",
    "FedYogi",
    "Krum",
    "QFedAvg",
    "Strategy",
]

_NAMES: Final = {  # name: (module, successor)
    "Bulyan": ("bulyan", "Bulyan"),
    "DPFedAvgAdaptive": ("dpfedavg_adaptive", "DifferentialPrivacyClientSideAdaptiveClipping"),
    "DPFedAvgFixed": ("dpfedavg_fixed", "DifferentialPrivacyClientSideFixedClipping"),
    "DifferentialPrivacyClientSideAdaptiveClipping": (
        "dp_adaptive_clipping",
        "DifferentialPrivacyClientSideAdaptiveClipping",
    ),
    "DifferentialPrivacyClientSideFixedClipping": (
        "dp_fixed_clipping",
        "DifferentialPrivacyClientSideFixedClipping",
    ),
    "DifferentialPrivacyServerSideAdaptiveClipping": (
        "dp_adaptive_clipping",
        "DifferentialPrivacyServerSideAdaptiveClipping",
    ),
    "DifferentialPrivacyServerSideFixedClipping": (
        "dp_fixed_clipping",
        "DifferentialPrivacyServerSideFixedClipping",
    ),
    "FaultTolerantFedAvg": ("fault_tolerant_fedavg", "FedAvg"),
    "FedAdagrad": ("fedadagrad", "FedAdagrad"),
    "FedAdam": ("fedadam", "FedAdam"),
    "FedAvg": ("fedavg", "FedAvg"),
    "FedAvgAndroid": ("fedavg_android", "FedAvg"),
    "FedAvgM": ("fedavgm", "FedAvgM"),
    "FedMedian": ("fedmedian", "FedMedian"),
    "FedOpt": ("fedopt", "FedAdam"),
    "FedProx": ("fedprox", "FedProx"),
    "FedTrimmedAvg": ("fedtrimmedavg", "FedTrimmedAvg"),
    "FedXgbBagging": ("fedxgb_bagging", "FedXgbBagging"),
    "FedXgbCyclic": ("fedxgb_cyclic", "FedXgbCyclic"),
    "FedYogi": ("fedyogi", "FedYogi"),
    "Krum": ("krum", "Krum"),
    "QFedAvg": ("qfedavg", "QFedAvg"),
    "Strategy": ("strategy", "Strategy"),
}

__getattr__ = legacy_names(
    __name__,
    {
        name: (f"{__name__}.{module}", f"flwr.serverapp.strategy.{successor}")
        for name, (module, successor) in _NAMES.items()
    },
    submodules={"aggregate", *(module for module, _ in _NAMES.values())},
)
