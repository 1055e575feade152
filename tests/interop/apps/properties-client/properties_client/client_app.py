"""A Client in terms of Parameters, which also tells what it is."""

from flwr.client import Client, ClientApp
from flwr.common import (
    Code,
    Context,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Status,
)

OK = Status(Code.OK, "fine")


class TextClient(Client):
    """Its models are texts, not arrays."""

    def __init__(self, partition: int) -> None:
        self.partition = partition

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
        properties = {"partition": self.partition, "asked": ins.config["what"], "gpu": False}
        return GetPropertiesRes(OK, properties)

    def get_parameters(self, ins: GetParametersIns) -> GetParametersRes:
        return GetParametersRes(OK, Parameters([b"", b"model:"], "text"))

    def fit(self, ins: FitIns) -> FitRes:
        tensors = [t + f"[{self.partition}]".encode() for t in ins.parameters.tensors]
        if ins.config["refuse"] == self.partition:
            status = Status(Code.FIT_NOT_IMPLEMENTED, "not this time")
            return FitRes(status, Parameters([], ""), 0, {})
        return FitRes(OK, Parameters(tensors, ins.parameters.tensor_type), 1, {"rate": 0.5})

    def evaluate(self, ins: EvaluateIns) -> EvaluateRes:
        return EvaluateRes(OK, float(len(ins.parameters.tensors[1])), 2, {"ok": True})


def client_fn(context: Context) -> Client:
    return TextClient(int(context.node_config["partition-id"]))


app = ClientApp(client_fn)
