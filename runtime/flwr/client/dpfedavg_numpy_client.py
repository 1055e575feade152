"""A NumPyClient wrapped for the strategies ``DPFedAvgFixed`` and ``DPFedAvgAdaptive``."""

from flwr.client.numpy_client import NumPyClient
from flwr.common.dp import add_gaussian_noise, clip_by_l2
from flwr.common.typing import Config, NDArrays, Scalar


class DPFedAvgNumPyClient(NumPyClient):
    """Clips the wrapped client's update, and blurs it if the server says by how much.

    Args:
        client: the client.
    """

    def __init__(self, client: NumPyClient) -> None:
        super().__init__()
        self.client = client

    def get_properties(self, config: Config) -> dict[str, Scalar]:
        """Return what the client says."""
        return self.client.get_properties(config)

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:
        """Return the client's model."""
        return self.client.get_parameters(config)

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Return the client's model, its update clipped and blurred as ``config`` says.

        Raises:
            KeyError: ``config`` holds no norm.
            TypeError: a value of ``config`` has the wrong type.
        """
        original = [array.copy() for array in parameters]
        trained, num_examples, metrics = self.client.fit(parameters, config)
        update = [new - old for new, old in zip(trained, original, strict=True)]
        norm = config.get("dpfedavg_clip_norm")
        if norm is None:
            raise KeyError("the server sent no dpfedavg_clip_norm: its strategy is not DPFedAvg*")
        if not isinstance(norm, float):
            raise TypeError(f"dpfedavg_clip_norm is {norm!r}, it must be a float")
        update, was_clipped = clip_by_l2(update, norm)
        if "dpfedavg_noise_stddev" in config:
            spread = config["dpfedavg_noise_stddev"]
            if not isinstance(spread, float):
                raise TypeError(f"dpfedavg_noise_stddev is {spread!r}, it must be a float")
            update = add_gaussian_noise(update, spread)
        if "dpfedavg_adaptive_clip_enabled" in config:
            metrics = {**metrics, "dpfedavg_norm_bit": not was_clipped}
        model = [old + change for old, change in zip(original, update, strict=True)]
        return model, num_examples, metrics

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        """Return the client's loss."""
        return self.client.evaluate(parameters, config)
