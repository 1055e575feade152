"""A main function that aggregates securely, with client-side clipping and no noise."""

import numpy as np

from flwr.common import Context, Metrics, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.recorddict_compat import arrayrecord_to_parameters
from flwr.server import Grid, LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_PARAMS_RECORD

app = ServerApp()


def longest(results: list[tuple[int, Metrics]]) -> Metrics:
    return {"longest": max(int(metrics["longer"]) for _, metrics in results)}


@app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = DifferentialPrivacyClientSideFixedClipping(
        FedAvg(
            fraction_evaluate=0.0,
            initial_parameters=ndarrays_to_parameters([np.ones(4)]),
            fit_metrics_aggregation_fn=longest,
        ),
        noise_multiplier=0.0,
        clipping_norm=1.0,
        num_sampled_clients=2,
    )
    legacy = LegacyContext(
        context=context,
        config=ServerConfig(num_rounds=int(context.run_config["num-rounds"])),
        strategy=strategy,
    )
    train = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=0.5)
    DefaultWorkflow(fit_workflow=train)(grid, legacy)
    model = arrayrecord_to_parameters(legacy.state[MAIN_PARAMS_RECORD], keep_input=True)
    # Quantization rounds by chance: the last digits differ from run to run.
    print(f"model: {parameters_to_ndarrays(model)[0].round(3).tolist()}", flush=True)
    print(f"fit: {legacy.history.metrics_distributed_fit}", flush=True)
