"""Keys that the two halves of differential privacy agree on, and what both may say."""

from typing import Final

from flwr.clientapp.mod.centraldp_mods import CLIPPING_NORM_KEY, NORM_BIT_KEY

KEY_CLIPPING_NORM: Final = CLIPPING_NORM_KEY
KEY_NORM_BIT: Final = NORM_BIT_KEY
CLIENTS_DISCREPANCY_WARNING: Final = (
    "%s clients returned parameters, but noise is made for %s sampled clients: the privacy "
    "guarantee holds for that number only"
)
