"""Stand-ins for a SuperLink and a SuperNode as a runner sees them, on a real gRPC server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc

from flwr.app import Context, Message, RecordDict
from flwr.core.errors import FlwrError
from flwr.core.ids import ObjectId
from flwr.core.lease import AppKind
from flwr.core.message import Delivery
from flwr.core.run import RunStatus
from flwr.fab.build import build_fab
from flwr.proto import (
    appio_pb2,
    fab_pb2,
    heartbeat_pb2,
    log_pb2,
    message_pb2,
    node_pb2,
    run_pb2,
    serverappio_pb2,
)
from flwr.proto.compose.v1 import launches_pb2, logs_pb2
from flwr.wire.codec.contexts import decode_context, encode_context
from flwr.wire.codec.deliveries import read_deliveries, write_deliveries
from flwr.wire.codec.messages import encode_deliveries
from flwr.wire.codec.runs import encode_run
from flwr.wire.errors import abort_with
from flwr.wire.objects import deflate, inflate
from tests import given

Methods = dict[str, Callable[[bytes], Awaitable[Any]]]

TOKEN = "f" * 256
NODE = 77

PYPROJECT = """
[project]
name = "tiny"
version = "1.0.0"
description = "A tiny app"
license = "Apache-2.0"
[tool.flwr.app]
publisher = "tester"
[tool.flwr.app.components]
serverapp = "tiny.app:server"
clientapp = "tiny.app:client"
[tool.flwr.app.config]
rounds = 1
"""

HEADER = """
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
server = ServerApp()
client = ClientApp()
"""


def build_app(folder: Path, code: str) -> bytes:
    """Bundle an app whose one module is ``code``."""
    package = folder / "tiny"
    package.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text(HEADER + code)
    return build_fab(folder).content


class AppIoServer:
    """Answers AppIo calls of one launch; records what it is told."""

    def __init__(self, kind: AppKind, fab: bytes) -> None:
        self.kind = kind
        self.run = given.running_run(
            fab_hash=sha256(fab).hexdigest(), override_config={"rounds": 2}
        )
        node_id = 1 if kind is AppKind.SERVERAPP else NODE
        self.context = Context(self.run.run_id, node_id, {}, RecordDict(), {"rounds": 2})
        self.fab = fab
        self.is_alive = True
        self.failures: dict[str, FlwrError] = {}
        self.methods: list[str] = []
        self.tokens: set[str] = set()
        self.heartbeat_promises: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.logs = ""
        self.exit: launches_pb2.ReportExitRequest | None = None
        self.status: run_pb2.RunStatus | None = None
        self.outputs: Context | None = None
        self.called = asyncio.Condition()
        self.address = ""

    async def until(self, name: str, count: int = 1) -> None:
        """Wait until a method was called so often."""
        async with asyncio.timeout(60), self.called:
            await self.called.wait_for(lambda: self.methods.count(name) >= count)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["AppIoServer"]:
        server = grpc.aio.server()
        for full_name, names in self._services().items():
            handlers = {name: self._edge(name, answer) for name, answer in names.items()}
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(full_name, handlers),)
            )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.address = f"127.0.0.1:{port}"
        try:
            yield self
        finally:
            await server.stop(0)

    def _edge(self, name: str, answer: Callable[[bytes], Awaitable[Any]]) -> Any:
        async def handle(request: bytes, rpc: Any) -> bytes:
            headers: Mapping[str, str] = dict(rpc.invocation_metadata())
            self.tokens.add(headers.get("flwr-app-token", ""))
            if name == "SendAppHeartbeat":
                self.heartbeat_promises.add(headers["flwr-compose-heartbeat-s"])
            async with self.called:
                self.methods.append(name)
                self.called.notify_all()
            if name in self.failures:
                await abort_with(rpc, self.failures[name], method=f"/flwr.proto.X/{name}")
            response = await answer(request)
            content: bytes = response.SerializeToString()
            return content

        return grpc.unary_unary_rpc_method_handler(handle)

    def _services(self) -> dict[str, Methods]:
        service = "ServerAppIo" if self.kind is AppKind.SERVERAPP else "ClientAppIo"
        return {
            f"flwr.proto.{service}": self._methods(),
            "flwr.compose.v1.AppLogs": {"PushAppLogs": self._push_app_logs},
            "flwr.compose.v1.Launches": {"ReportExit": self._report_exit},
        }

    def _methods(self) -> Methods:
        return {
            "SendAppHeartbeat": self._heartbeat,
            "PullAppInputs": self._pull_inputs,
            "PushAppOutputs": self._push_outputs,
            "PushObject": self._push_object,
            "PullObject": self._pull_object,
            "ConfirmMessageReceived": self._confirm,
        }

    async def _heartbeat(self, request: bytes) -> heartbeat_pb2.SendAppHeartbeatResponse:
        assert heartbeat_pb2.SendAppHeartbeatRequest.FromString(request).token == TOKEN
        return heartbeat_pb2.SendAppHeartbeatResponse(success=self.is_alive)

    async def _pull_inputs(self, request: bytes) -> appio_pb2.PullAppInputsResponse:
        assert appio_pb2.PullAppInputsRequest.FromString(request).token == TOKEN
        return appio_pb2.PullAppInputsResponse(
            context=encode_context(self.context),
            run=encode_run(self.run),
            fab=fab_pb2.Fab(hash_str=self.run.fab_hash, content=self.fab),
        )

    async def _push_outputs(self, request: bytes) -> appio_pb2.PushAppOutputsResponse:
        outputs = appio_pb2.PushAppOutputsRequest.FromString(request)
        assert outputs.token == TOKEN
        self.outputs = decode_context(outputs.context)
        return appio_pb2.PushAppOutputsResponse()

    async def _push_object(self, request: bytes) -> message_pb2.PushObjectResponse:
        pushed = message_pb2.PushObjectRequest.FromString(request)
        assert pushed.node.node_id == self.context.node_id
        self.objects[pushed.object_id] = pushed.object_content
        self.uploads.append(pushed.object_id)
        return message_pb2.PushObjectResponse(stored=True)

    async def _pull_object(self, request: bytes) -> message_pb2.PullObjectResponse:
        asked = message_pb2.PullObjectRequest.FromString(request)
        content = self.objects.get(asked.object_id)
        return message_pb2.PullObjectResponse(
            object_found=content is not None,
            object_available=content is not None,
            object_content=content or b"",
        )

    async def _confirm(self, _request: bytes) -> message_pb2.ConfirmMessageReceivedResponse:
        return message_pb2.ConfirmMessageReceivedResponse()

    async def _push_app_logs(self, request: bytes) -> logs_pb2.PushAppLogsResponse:
        pushed = logs_pb2.PushAppLogsRequest.FromString(request)
        assert pushed.token == TOKEN
        self.logs += "".join(pushed.logs)
        return logs_pb2.PushAppLogsResponse()

    async def _report_exit(self, request: bytes) -> launches_pb2.ReportExitResponse:
        self.exit = launches_pb2.ReportExitRequest.FromString(request)
        assert self.exit.token == TOKEN
        return launches_pb2.ReportExitResponse()

    def keep(self, message: Message) -> Delivery:
        """Store a message's objects and return how it is announced."""
        parts = deflate(message)
        self.objects |= {key: source.make() for key, source in parts.objects.items()}
        return Delivery(parts.envelope, parts.tree)

    def read(self, delivery: Delivery) -> Message:
        """Return an announced message."""

        def get(object_id: ObjectId) -> bytes:
            return self.objects[object_id]

        return inflate(delivery.envelope, delivery.tree, get)

    def accept(self, request: bytes) -> tuple[list[Delivery], list[str]]:
        """Read pushed messages; return them and the ids of the objects we lack."""
        deliveries = read_deliveries(appio_pb2.PushAppMessagesRequest.FromString(request))
        for one in deliveries:
            self.objects |= {str(key): content for key, content in one.contents.items()}
        ids = dict.fromkeys(key for one in deliveries for key in one.tree.walk())
        return deliveries, [key for key in ids if key not in self.objects]


class SuperLink(AppIoServer):
    """The SuperLink of a ServerApp; its nodes answer through ``node``."""

    def __init__(self, fab: bytes, *, nodes: int = 2) -> None:
        super().__init__(AppKind.SERVERAPP, fab)
        self.nodes = list(range(100, 100 + nodes))
        self.node: Callable[[Message], Message] | None = None
        self.waits: set[str] = set()
        self._instructions: dict[str, Delivery] = {}

    def _methods(self) -> Methods:
        return {
            **super()._methods(),
            "GetNodes": self._get_nodes,
            "PushMessages": self._push_messages,
            "PullMessages": self._pull_messages,
            "PushLogs": self._push_logs,
            "UpdateRunStatus": self._update_status,
        }

    async def _get_nodes(self, _request: bytes) -> serverappio_pb2.GetNodesResponse:
        nodes = [node_pb2.Node(node_id=node_id) for node_id in self.nodes]
        return serverappio_pb2.GetNodesResponse(nodes=nodes)

    async def _push_messages(self, request: bytes) -> appio_pb2.PushAppMessagesResponse:
        deliveries, lacking = self.accept(request)
        known = [one for one in deliveries if one.envelope.dst_node_id in self.nodes]
        self._instructions |= {one.envelope.message_id: one for one in known}
        ids = [one.envelope.message_id if one in known else "" for one in deliveries]
        return appio_pb2.PushAppMessagesResponse(message_ids=ids, objects_to_push=lacking)

    async def _pull_messages(self, request: bytes) -> appio_pb2.PullAppMessagesResponse:
        asked = appio_pb2.PullAppMessagesRequest.FromString(request)
        replies = []
        if self.node is not None:
            for message_id in asked.message_ids:
                instruction = self.read(self._instructions[message_id])
                replies.append(self.keep(self.node(instruction)))
        messages, trees = encode_deliveries(replies)
        return appio_pb2.PullAppMessagesResponse(messages_list=messages, message_object_trees=trees)

    async def _push_logs(self, request: bytes) -> log_pb2.PushLogsResponse:
        pushed = log_pb2.PushLogsRequest.FromString(request)
        assert (pushed.run_id, pushed.node.node_id) == (self.run.run_id, 0)
        self.logs += "".join(pushed.logs)
        return log_pb2.PushLogsResponse()

    async def _update_status(self, request: bytes) -> run_pb2.UpdateRunStatusResponse:
        update = run_pb2.UpdateRunStatusRequest.FromString(request)
        assert update.run_id == self.run.run_id
        self.status = update.run_status
        return run_pb2.UpdateRunStatusResponse()

    def outcome(self) -> tuple[str, str]:
        """Return how the run ended: sub-status and details."""
        assert self.status is not None, "the run has not ended"
        assert self.status.status == "finished"
        return RunStatus(self.status.sub_status), self.status.details


class SuperNode(AppIoServer):
    """The SuperNode of a ClientApp that holds one instruction."""

    def __init__(self, fab: bytes, content: RecordDict, message_type: str = "train") -> None:
        super().__init__(AppKind.CLIENTAPP, fab)
        message = Message(content, NODE, message_type, group_id="1")
        vars(message.metadata).update(_run_id=self.run.run_id, _src_node_id=1)
        self.instruction = self.keep(message)
        self.reply: Delivery | None = None

    def _methods(self) -> Methods:
        return {
            **super()._methods(),
            "PullMessage": self._pull_message,
            "PushMessage": self._push_message,
        }

    async def _pull_message(self, request: bytes) -> appio_pb2.PullAppMessagesResponse:
        assert appio_pb2.PullAppMessagesRequest.FromString(request).token == TOKEN
        return self.pulled()

    def pulled(self, *, whole: bool = False) -> appio_pb2.PullAppMessagesResponse:
        """Return the instruction as PullMessage does."""
        sent = self.instruction
        if whole:
            contents = {ObjectId(key): self.objects[key] for key in sent.tree.walk()}
            sent = Delivery(sent.envelope, sent.tree, contents)
        response = appio_pb2.PullAppMessagesResponse()
        write_deliveries(response, [sent])
        return response

    async def _push_message(self, request: bytes) -> appio_pb2.PushAppMessagesResponse:
        assert appio_pb2.PushAppMessagesRequest.FromString(request).token == TOKEN
        [self.reply], lacking = self.accept(request)
        assert self.reply.envelope.reply_to == self.instruction.envelope.message_id
        return appio_pb2.PushAppMessagesResponse(
            message_ids=[self.reply.envelope.message_id], objects_to_push=lacking
        )

    def answer(self) -> Message:
        """Return the reply, whole."""
        assert self.reply is not None, "no reply came"
        return self.read(self.reply)
