"""A grid whose nodes answer by a ClientApp, each with a Context of its own."""

from collections.abc import Callable

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.core.ids import RunId
from flwr.serverapp.run_info import Run
from flwr.simulation.run import describe_run
from tests.unit.serverapp.fake_grid import FakeGrid


class AppGrid(FakeGrid):
    """Nodes 101, 102, and so on, of partitions 0, 1, and so on."""

    def __init__(self, nodes: int, app: ClientApp) -> None:
        super().__init__(nodes, self._call)
        self._app = app
        self.contexts = {
            node: Context(7, node, {"partition-id": index}, RecordDict(), {})
            for index, node in enumerate(self.nodes)
        }
        self.on_look: Callable[[], None] = lambda: None

    @property
    def run(self) -> Run:
        return describe_run(RunId(7))

    def get_node_ids(self) -> set[int]:
        self.on_look()
        return set(self.nodes)

    @property
    def asked(self) -> list[tuple[str, str, float]]:
        """Type, group and life of each message sent."""
        told = (message.metadata for message in self.sent)
        return [(m.message_type, m.group_id, m.ttl) for m in told]

    def _call(self, message: Message) -> Message:
        try:
            return self._app(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:  # noqa: BLE001  as every engine does
            return Message(Error(2, f"{type(error).__name__}: {error}"), reply_to=message)
