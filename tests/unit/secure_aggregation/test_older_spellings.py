"""``flwr.common.secure_aggregation``: names that apps of older releases import."""

import numpy as np
import pytest

from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import (
    compute_hmac,
    decrypt,
    encrypt,
    generate_shared_key,
    verify_hmac,
)
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_combine,
    factor_extract,
    get_parameters_shape,
    get_zero_parameters,
    parameters_addition,
    parameters_divide,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
    share_keys_plaintext_separate,
)
from flwr.crypto.ecdsa import new_private_key
from flwr.crypto.masks import MaskGenerator, make_mask

MODEL = [np.array([[1, 2], [3, 4]]), np.array(7)]


def test_shares() -> None:
    assert combine_shares(create_shares(b"secret", 2, 4)[2:]) == b"secret"


def test_keys() -> None:
    one, other = new_private_key(), new_private_key()
    key = generate_shared_key(one, other.public_key())

    assert decrypt(generate_shared_key(other, one.public_key()), encrypt(key, b"text")) == b"text"
    assert verify_hmac(key, b"text", compute_hmac(key, b"text"))


def test_quantization() -> None:
    (whole,) = quantize([np.array([-8.0, 0.0, 8.0])], 8.0, 16)

    assert whole.tolist() == [0, 8, 16]
    assert dequantize([whole], 8.0, 16)[0].tolist() == [-8.0, 0.0, 8.0]


def test_arithmetic() -> None:
    factor, model = factor_extract(factor_combine(5, MODEL))

    assert factor == 5
    assert get_parameters_shape(model) == [(2, 2), ()]
    zeros = get_zero_parameters([(2, 2), ()])
    assert [array.dtype for array in zeros] == [np.int64] * 2
    for got, wanted in (
        (parameters_addition(MODEL, MODEL), [[[2, 4], [6, 8]], 14]),
        (parameters_subtraction(zeros, MODEL), [[[-1, -2], [-3, -4]], -7]),
        (parameters_mod(MODEL, 3), [[[1, 2], [0, 1]], 1]),
        (parameters_multiply(MODEL, 2), [[[2, 4], [6, 8]], 14]),
        (parameters_divide(MODEL, 2), [[[0.5, 1.0], [1.5, 2.0]], 3.5]),
    ):
        assert [array.tolist() for array in got] == wanted
    with pytest.raises(ValueError, match="argument 2"):
        parameters_addition(MODEL, MODEL[:1])


def test_masks_array_by_array_are_one_mask_cut_up() -> None:
    arrays = pseudo_rand_gen(bytes(range(32)), 1 << 32, [(2, 3), (), (4,)])

    flat = np.concatenate([array.ravel() for array in arrays])
    assert (flat == make_mask(MaskGenerator.MT19937, bytes(range(32)), 1 << 32, 11)).all()


def test_shares_for_a_neighbour_are_laid_out_as_upstream_does() -> None:
    plaintext = share_keys_plaintext_concat(1, (1 << 64) - 1, b"BBB", b"SSSS")

    assert plaintext == b"\1" + bytes(7) + b"\xff" * 8 + b"\3\0\0\0" + b"BBBSSSS"
    assert share_keys_plaintext_separate(plaintext) == (1, (1 << 64) - 1, b"BBB", b"SSSS")


@pytest.mark.parametrize("plaintext", [b"", bytes(19), bytes(16) + b"\2\0\0\0" + b"x"])
def test_what_holds_no_shares_is_refused(plaintext: bytes) -> None:
    with pytest.raises(ValueError, match="share"):
        share_keys_plaintext_separate(plaintext)
