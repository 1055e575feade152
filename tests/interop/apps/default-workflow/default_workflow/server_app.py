"""A main function that runs the default workflow, with client-side clipping and no noise."""

from flwr.common import Context, log
from flwr.common.parameter import parameters_to_ndarrays
from flwr.common.recorddict_compat import arrayrecord_to_parameters
from flwr.server import Grid, LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg
from flwr.server.workflow import DefaultWorkflow
from flwr.server.workflow.constant import MAIN_PARAMS_RECORD

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = DifferentialPrivacyClientSideFixedClipping(
        FedAvg(evaluate_fn=lambda r, p, _: (float(r), {"first": float(p[0][0])})),
        noise_multiplier=0.0,
        clipping_norm=1.25,
        num_sampled_clients=2,
    )
    legacy = LegacyContext(
        context=context,
        config=ServerConfig(num_rounds=int(context.run_config["num-rounds"])),
        strategy=strategy,
    )
    DefaultWorkflow()(grid, legacy)
    model = arrayrecord_to_parameters(legacy.state[MAIN_PARAMS_RECORD], keep_input=True)
    print(f"model: {[x.tolist() for x in parameters_to_ndarrays(model)]}", flush=True)
    print(f"losses: {legacy.history.losses_distributed}", flush=True)
    log(20, "round %s is the last", legacy.state["config"]["current_round"])
