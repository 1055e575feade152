"""Two rounds of each strategy on the same replies, against the numbers upstream 1.29.0 gives.

FedAdam: upstream's model becomes float64; ours stays float32, so upstream's was rounded to it.
"""

from typing import Any

import pytest

from flwr.app import ConfigRecord
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, FedProx
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import floats, model, spread

MEAN = [1.3363635540008545, 0.45454543828964233]


@pytest.mark.parametrize(
    ("strategy", "first", "second"),
    [
        (FedAvg(), MEAN, MEAN),
        (FedProx(proximal_mu=0.1), MEAN, MEAN),
        (
            FedAdam(),
            [1.072102427482605, 1.9262313842773438],
            [1.1547205448150635, 1.841103434562683],
        ),
        (
            FedAdam(eta=1.0, beta_1=0.5, beta_2=0.5, tau=0.1),
            [1.574818730354309, 1.2519553899765015],
            [1.463735818862915, 0.4576222896575928],
        ),
        (
            FedAvgM(server_momentum=0.9, server_learning_rate=0.5),
            [1.1681817770004272, 1.2272727489471436],
            [1.4036362171173096, 0.14545464515686035],
        ),
        (
            FedAvgM(server_learning_rate=0.5),
            [1.1681817770004272, 1.2272727489471436],
            [1.252272605895996, 0.8409091234207153],
        ),
        (FedAvgM(), MEAN, MEAN),
        (FedMedian(), [2.0, 1.0], [2.0, 1.0]),
    ],
)
def test_equal_replies_give_equal_models(
    strategy: Any, first: list[float], second: list[float]
) -> None:
    grid, arrays = FakeGrid(3, lambda _: None), model(1, 2)
    for server_round, wanted in ((1, first), (2, second)):
        strategy.configure_train(server_round, arrays, ConfigRecord(), grid)

        arrays, metrics = strategy.aggregate_train(server_round, spread())

        assert floats(arrays) == wanted
        assert arrays["0"].dtype == "float32"
        loss = 0.31818181818181823
        assert metrics == {"loss": loss, "per-class": [loss, 1.0]}
