"""SecAgg: SecAgg+ in which all clients are neighbours."""

from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow


class SecAggWorkflow(SecAggPlusWorkflow):
    """Trains one round with SecAgg; to be given to DefaultWorkflow as ``fit_workflow``.

    Args:
        reconstruction_threshold: how many clients must stay to the end, or their fraction.
        max_weight: see SecAggPlusWorkflow, as for all that follow.
        clipping_range: see there.
        quantization_range: see there.
        modulus_range: see there.
        timeout: see there.

    Raises:
        TypeError: a number has the wrong type.
        ValueError: a number is out of range.

    Source: Bonawitz et al., CCS 2017, doi:10.1145/3133956.3133982.
    """

    def __init__(
        self,
        reconstruction_threshold: int | float,  # noqa: PYI041  an int counts, a float is a share
        *,
        max_weight: float = 1000.0,
        clipping_range: float = 8.0,
        quantization_range: int = 4194304,
        modulus_range: int = 4294967296,
        timeout: float | None = None,
    ) -> None:
        super().__init__(
            num_shares=1.0,
            reconstruction_threshold=reconstruction_threshold,
            max_weight=max_weight,
            clipping_range=clipping_range,
            quantization_range=quantization_range,
            modulus_range=modulus_range,
            timeout=timeout,
        )
