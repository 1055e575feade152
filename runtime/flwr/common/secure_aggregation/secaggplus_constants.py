"""The words of SecAgg+ on the wire (app API §6.6): a client and a server must agree on them.

One round takes four ``train`` messages to each client.  Each carries a ConfigRecord named
``secaggplus_configs`` with its ``stage``; so does each reply:

1. ``setup``: the numbers of the round; the client answers with two public keys.
2. ``share_keys``: the keys of its neighbours; it answers with a share of its secrets for each of
   them, which only that neighbour can decrypt.
3. ``collect_masked_vectors``: the shares its neighbours made for it, and the model; it answers
   with its update, hidden by a mask of its own and one with each neighbour who shared.
4. ``unmask``: who answered and who did not; it answers with shares of the own masks of the former
   and of the private keys of the latter.  Never both of one neighbour: they would unmask it.
"""

from typing import Final

RECORD_KEY_STATE: Final = "secaggplus_state"
RECORD_KEY_CONFIGS: Final = "secaggplus_configs"
RATIO_QUANTIZATION_RANGE: Final = 1073741824


class Stage:
    """The four stages, in their order."""

    SETUP: Final = "setup"
    SHARE_KEYS: Final = "share_keys"
    COLLECT_MASKED_VECTORS: Final = "collect_masked_vectors"
    UNMASK: Final = "unmask"

    @classmethod
    def all(cls) -> tuple[str, ...]:
        """Return the stages in their order."""
        return (cls.SETUP, cls.SHARE_KEYS, cls.COLLECT_MASKED_VECTORS, cls.UNMASK)


class Key:
    """Names in the ConfigRecords."""

    STAGE: Final = "stage"
    SAMPLE_NUMBER: Final = "sample_num"
    SHARE_NUMBER: Final = "share_num"
    THRESHOLD: Final = "threshold"
    CLIPPING_RANGE: Final = "clipping_range"
    TARGET_RANGE: Final = "target_range"
    MOD_RANGE: Final = "mod_range"
    MAX_WEIGHT: Final = "max_weight"
    PUBLIC_KEY_1: Final = "pk1"
    PUBLIC_KEY_2: Final = "pk2"
    DESTINATION_LIST: Final = "dsts"
    CIPHERTEXT_LIST: Final = "ctxts"
    SOURCE_LIST: Final = "srcs"
    PARAMETERS: Final = "params"
    MASKED_PARAMETERS: Final = "masked_params"
    ACTIVE_NODE_ID_LIST: Final = "active_nids"
    DEAD_NODE_ID_LIST: Final = "dead_nids"
    NODE_ID_LIST: Final = "nids"
    SHARE_LIST: Final = "shares"
    # Ours, unknown to upstream's releases, which pass over it: in a reply to setup, the names of
    # the mask generators a client has; in collect_masked_vectors, the one to use.
    MASK_GENERATORS: Final = "mask_generators"
    MASK_GENERATOR: Final = "mask_generator"
