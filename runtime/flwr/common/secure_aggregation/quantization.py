"""Older spelling of ``flwr.crypto.quantize``."""

from flwr.common.typing import NDArrayFloat, NDArrayInt
from flwr.crypto import quantize as _quantize


def quantize(
    parameters: list[NDArrayFloat], clipping_range: float, target_range: int
) -> list[NDArrayInt]:
    """Map [-clipping_range, clipping_range] to the integers 0 to ``target_range``.

    Raises:
        ValueError: a range is not positive, or a number is NaN.
    """
    return _quantize.quantize(parameters, clipping_range, target_range)


def dequantize(
    quantized_parameters: list[NDArrayInt], clipping_range: float, target_range: int
) -> list[NDArrayFloat]:
    """Map 0 to ``target_range`` back to [-clipping_range, clipping_range].

    Raises:
        ValueError: a range is not positive.
    """
    return _quantize.dequantize(quantized_parameters, clipping_range, target_range)
