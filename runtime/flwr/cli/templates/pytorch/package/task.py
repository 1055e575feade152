"""Data and model: the digits of scikit-learn and a small convolutional network."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

BRIGHTEST = 16.0
HELD_OUT = 0.2  # share of the images that only the server sees
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Net(nn.Module):
    """Two convolutions and a linear layer over images of 8x8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.second = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.out = nn.Linear(32 * 2 * 2, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return ten scores per image."""
        hidden = functional.max_pool2d(functional.relu(self.first(images)), 2)
        hidden = functional.max_pool2d(functional.relu(self.second(hidden)), 2)
        return self.out(hidden.flatten(1))


def new_net(seed: int) -> Net:
    """Return the network to start from: the same for the same number."""
    torch.manual_seed(seed)
    return Net()


def load_partition(partition_id: int, num_partitions: int, seed: int) -> TensorDataset:
    """Return one node's share: the same images for the same numbers."""
    order = _order(seed)
    train = order[int(len(order) * HELD_OUT) :]
    return _dataset(train[partition_id::num_partitions])


def load_held_out(seed: int) -> TensorDataset:
    """Return the images that no node ever sees."""
    order = _order(seed)
    return _dataset(order[: int(len(order) * HELD_OUT)])


def fit(net: Net, data: TensorDataset, *, epochs: int, rate: float, batch_size: int) -> float:
    """Train ``net``; return the mean loss of the last epoch."""
    net.to(DEVICE).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    total = 0.0
    for _ in range(epochs):
        total = 0.0
        for images, digits in DataLoader(data, batch_size=batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(images.to(DEVICE)), digits.to(DEVICE))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(digits)
    return total / len(data)


@torch.no_grad()
def measure(net: Net, data: TensorDataset) -> tuple[float, float]:
    """Return loss and accuracy of ``net`` on ``data``."""
    net.to(DEVICE).eval()
    images, digits = (tensor.to(DEVICE) for tensor in data.tensors)
    scores = net(images)
    right = (scores.argmax(dim=1) == digits).float().mean()
    return functional.cross_entropy(scores, digits).item(), right.item()


def _order(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(load_digits().target))


def _dataset(chosen: np.ndarray) -> TensorDataset:
    digits = load_digits()
    images = torch.tensor(digits.images[chosen] / BRIGHTEST, dtype=torch.float32)
    return TensorDataset(images.unsqueeze(1), torch.tensor(digits.target[chosen]))
