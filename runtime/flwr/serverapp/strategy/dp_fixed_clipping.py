"""Central differential privacy with a norm that stays what it is.

Source: McMahan et al., ICLR 2018, arXiv:1710.06963, Algorithm 1.
"""

from flwr.app.console_log import logger
from flwr.serverapp.strategy.dp_wrapper import (
    ClientSideClipping,
    DifferentialPrivacyWrapper,
    ServerSideClipping,
)


class _FixedClipping(DifferentialPrivacyWrapper):
    """A wrapper that never changes its norm."""

    def summary(self) -> None:
        """Log the settings, then those of the strategy."""
        logger.info("\t├──> DP settings:")
        logger.info("\t│\t├── Noise multiplier: %s", self.noise_multiplier)
        logger.info("\t│\t└── Clipping norm: %s", self.clipping_norm)
        self.strategy.summary()


class DifferentialPrivacyServerSideFixedClipping(_FixedClipping, ServerSideClipping):
    """Clips every update to a fixed norm on the server and adds noise to the aggregate.

    Args:
        strategy: any strategy whose replies carry one ArrayRecord of the names and shapes sent.
        noise_multiplier: noise per client in clipping norms; about 1.0 for a useful guarantee.
        clipping_norm: L2 norm over all arrays together, in the unit of the weights; above 0.
        num_sampled_clients: how many train in a round; above 0.

    Raises:
        ValueError: an argument is out of range.
    """

    clipping = "Server-Side Fixed Clipping"


class DifferentialPrivacyClientSideFixedClipping(_FixedClipping, ClientSideClipping):
    """Has clients clip their updates to a fixed norm and adds noise to the aggregate.

    The ClientApp must use ``flwr.clientapp.mod.fixedclipping_mod``.

    Args:
        strategy: any strategy that sends the configuration it is given.
        noise_multiplier: noise per client in clipping norms; about 1.0 for a useful guarantee.
        clipping_norm: L2 norm over all arrays together, in the unit of the weights; above 0.
        num_sampled_clients: how many train in a round; above 0.

    Raises:
        ValueError: an argument is out of range.
    """

    clipping = "Client-Side Fixed Clipping"
