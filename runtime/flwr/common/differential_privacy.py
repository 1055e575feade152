"""Mathematics of differential privacy on lists of ndarrays: clipping and noise, both in place.

Sources: McMahan et al., ICLR 2018, arXiv:1710.06963 (clipping to a fixed norm); Andrew et al.,
NeurIPS 2021, arXiv:1905.03871 (the norm follows a quantile); Dwork and Roth, Foundations and
Trends 2014, appendix A (the Gaussian mechanism).
"""

import math

import numpy as np

from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import NDArrays, Parameters


def get_norm(input_arrays: NDArrays) -> float:
    """Return the L2 norm of all arrays taken as one vector."""
    norms = [np.linalg.norm(array.flat) for array in input_arrays]
    return float(np.sqrt(sum(norm**2 for norm in norms)))


def add_gaussian_noise_inplace(input_arrays: NDArrays, std_dev: float) -> None:
    """Add N(0, ``std_dev``) to every number; each array keeps its dtype."""
    # numpy's global generator: apps seed it to repeat an experiment, as with upstream.
    for array in input_arrays:
        noise = np.asarray(np.random.normal(0, std_dev, array.shape))  # noqa: NPY002  see above
        np.add(array, noise.astype(array.dtype), out=array)


def clipping_factor(input_arrays: NDArrays, clipping_norm: float) -> float:
    """Return what scales the arrays down to ``clipping_norm``: 1.0 if they are not longer."""
    norm = get_norm(input_arrays)
    return min(1.0, clipping_norm / norm) if norm else 1.0


def clip_inputs_inplace(input_arrays: NDArrays, clipping_norm: float) -> None:
    """Scale the arrays down to ``clipping_norm`` if they are longer."""
    adaptive_clip_inputs_inplace(input_arrays, clipping_norm)


def adaptive_clip_inputs_inplace(input_arrays: NDArrays, clipping_norm: float) -> bool:
    """Scale the arrays down to ``clipping_norm``; return False if they were not longer."""
    factor = clipping_factor(input_arrays, clipping_norm)
    for array in input_arrays:
        np.multiply(array, factor, out=array)
    return factor < 1.0


def compute_clip_model_update(param1: NDArrays, param2: NDArrays, clipping_norm: float) -> None:
    """Replace each x of ``param1`` by y + clipped(x - y), y of ``param2``."""
    compute_adaptive_clip_model_update(param1, param2, clipping_norm)


def compute_adaptive_clip_model_update(
    param1: NDArrays, param2: NDArrays, clipping_norm: float
) -> bool:
    """Like ``compute_clip_model_update``; return whether the update was scaled down."""
    update: NDArrays = [np.asarray(x - y) for x, y in zip(param1, param2, strict=True)]
    was_clipped = adaptive_clip_inputs_inplace(update, clipping_norm)
    for index, (y, change) in enumerate(zip(param2, update, strict=True)):
        param1[index] = np.asarray(y + change)
    return was_clipped


def compute_stdv(noise_multiplier: float, clipping_norm: float, num_sampled_clients: int) -> float:
    """Return the standard deviation of the noise on a mean of so many clipped updates."""
    return float((noise_multiplier * clipping_norm) / num_sampled_clients)


def add_gaussian_noise_to_params(
    model_params: Parameters,
    noise_multiplier: float,
    clipping_norm: float,
    num_sampled_clients: int,
) -> Parameters:
    """Return the mean of clipped updates with the noise that hides each of them."""
    spread = compute_stdv(noise_multiplier, clipping_norm, num_sampled_clients)
    return _blurred(model_params, spread)


def add_localdp_gaussian_noise_to_params(
    model_params: Parameters, sensitivity: float, epsilon: float, delta: float
) -> Parameters:
    """Return a client's model with the noise of the Gaussian mechanism."""
    return _blurred(model_params, sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon)


def compute_adaptive_noise_params(
    noise_multiplier: float,
    num_sampled_clients: float,
    clipped_count_stddev: float | None,
) -> tuple[float, float]:
    """Share out the privacy budget between the updates and the count of clipped clients.

    Returns:
        The standard deviation for the count, and the noise multiplier left for the updates.

    Raises:
        ValueError: the count would use up more than there is.
    """
    if noise_multiplier <= 0:
        return 0.0 if clipped_count_stddev is None else clipped_count_stddev, 0.0
    spread = num_sampled_clients / 20 if clipped_count_stddev is None else clipped_count_stddev
    if noise_multiplier >= 2 * spread:
        given = "the default num_sampled_clients/20" if clipped_count_stddev is None else "it"
        raise ValueError(
            f"clipped_count_stddev {spread} ({given}) is too low for noise_multiplier "
            f"{noise_multiplier}: it must exceed half of that; raise it or lower noise_multiplier"
        )
    return spread, (noise_multiplier ** (-2) - (2 * spread) ** (-2)) ** -0.5


def _blurred(parameters: Parameters, spread: float) -> Parameters:
    ndarrays = parameters_to_ndarrays(parameters)
    add_gaussian_noise_inplace(ndarrays, spread)
    return ndarrays_to_parameters(ndarrays)
