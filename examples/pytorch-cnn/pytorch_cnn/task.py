"""Data and model: the digits of scikit-learn and a small convolutional network."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

BRIGHTEST = 16.0
HELD_OUT = 0.2  # share of the images that only the server sees
BATCH = 32

Data = tuple[Tensor, Tensor]  # images (n, 1, 8, 8) in 0..1, digits (n,)


def new_net() -> nn.Sequential:
    """Return a network: two convolutions, each halving the image, and a layer that names digits."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )


def load_partition(partition_id: int, num_partitions: int, seed: int) -> Data:
    """Return one node's share: the same images for the same numbers."""
    (images, digits), _ = load_split(seed)
    return images[partition_id::num_partitions], digits[partition_id::num_partitions]


def load_split(seed: int) -> tuple[Data, Data]:
    """Return what all nodes have together, and the images that no node ever sees."""
    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(digits))
    held_out, train = np.split(order, [int(len(order) * HELD_OUT)])
    images = torch.tensor(pixels / BRIGHTEST, dtype=torch.float32).reshape(-1, 1, 8, 8)
    labels = torch.tensor(digits)
    return (images[train], labels[train]), (images[held_out], labels[held_out])


def fit(net: nn.Module, data: Data, epochs: int, learning_rate: float, seed: int) -> None:
    """Train ``net`` by some passes over ``data``."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net.to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=0.9)
    order = torch.Generator().manual_seed(seed)
    batches = DataLoader(TensorDataset(*data), BATCH, shuffle=True, generator=order)
    for _ in range(epochs):
        for images, digits in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images.to(device)), digits.to(device))
            torch.autograd.backward(loss)
            optimizer.step()
    net.cpu()


def measure(net: nn.Module, data: Data) -> tuple[float, float]:
    """Return loss and accuracy on ``data``."""
    images, digits = data
    with torch.inference_mode():
        scores = net.eval()(images)
        loss = nn.functional.cross_entropy(scores, digits)
        return float(loss), float((scores.argmax(dim=1) == digits).float().mean())
