"""What the server knows of a round of SecAgg+."""

from dataclasses import dataclass, field

from flwr.app.recorddict import RecordDict
from flwr.common.typing import FitRes, NDArrays
from flwr.crypto.masks import MaskGenerator
from flwr.server.client_proxy import ClientProxy


@dataclass
class WorkflowState:
    """One round; stages fill it in, apps that override stages read it.

    Attributes:
        nid_to_proxies: the sampled clients, by node id.
        nid_to_fitins: what each of them is asked to train.
        sampled_node_ids: the ids of all of them.
        active_node_ids: who has answered every stage so far.
        num_shares: into how many shares secrets are split.
        threshold: how many shares give a secret.
        clipping_range: parameters are clipped to plus and minus this.
        quantization_range: the largest quantized number.
        mod_range: sums are taken modulo this.
        max_weight: number of examples that stands for ``quantization_range``.
        nid_to_neighbours: who shares with whom; everyone is its own neighbour, too.
        nid_to_publickeys: two keys per node, PEM.
        forward_srcs: by receiver, who made shares for it.
        forward_ciphertexts: those shares, in the same order.
        aggregate_ndarrays: first the sum of the masked updates, in the end the average.
        legacy_results: what was trained, without parameters, for the strategy.
        failures: what went wrong at clients.
        nid_to_generators: what each node can make masks with.
        generator: what makes the masks of this round.
        shared_node_ids: whose shares were forwarded; their masks are in the sum.
    """

    nid_to_proxies: dict[int, ClientProxy] = field(default_factory=dict)
    nid_to_fitins: dict[int, RecordDict] = field(default_factory=dict)
    sampled_node_ids: set[int] = field(default_factory=set)
    active_node_ids: set[int] = field(default_factory=set)
    num_shares: int = 0
    threshold: int = 0
    clipping_range: float = 0.0
    quantization_range: int = 0
    mod_range: int = 0
    max_weight: float = 0.0
    nid_to_neighbours: dict[int, set[int]] = field(default_factory=dict)
    nid_to_publickeys: dict[int, list[bytes]] = field(default_factory=dict)
    forward_srcs: dict[int, list[int]] = field(default_factory=dict)
    forward_ciphertexts: dict[int, list[bytes]] = field(default_factory=dict)
    aggregate_ndarrays: NDArrays = field(default_factory=list)
    legacy_results: list[tuple[ClientProxy, FitRes]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    nid_to_generators: dict[int, set[str]] = field(default_factory=dict)
    generator: MaskGenerator = MaskGenerator.MT19937
    shared_node_ids: set[int] = field(default_factory=set)

    @property
    def dropped_node_ids(self) -> set[int]:
        """Who shared its secrets and then left: their masks must be taken out of the sum."""
        return self.shared_node_ids - self.active_node_ids
