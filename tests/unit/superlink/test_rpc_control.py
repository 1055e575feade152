import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.auth.node_keys import new_node_key
from flwr.core.ids import RunId
from flwr.core.limits import MAX_FAB_BYTES
from flwr.core.origin import Origin
from flwr.fab.build import build_fab
from flwr.proto import control_pb2, fab_pb2, transport_pb2
from flwr.shell.in_thread import in_thread
from flwr.wire import metadata
from flwr.wire.codec.runs import decode_run
from tests.unit.fab import given as given_fab
from tests.unit.superlink.federation import Link
from tests.unit.superlink.served import SOON_S, Served, on_a_served_link, refusal


def start_request(link: Link, **fields: object) -> control_pb2.StartRunRequest:
    return control_pb2.StartRunRequest(fab=fab_pb2.Fab(content=link.fab), **fields)  # type: ignore[arg-type]


@pytest.mark.row("S13", "S56", "S61")
def test_a_run_is_submitted_listed_and_stopped(link: Link) -> None:
    async def body(served: Served) -> None:
        control = served.control
        rounds = {"num-rounds": transport_pb2.Scalar(sint64=4)}
        key = ((metadata.SUBMIT_KEY, "once"),)
        ids = {
            (
                await control.StartRun(start_request(link, override_config=rounds), metadata=key)
            ).run_id
            for _ in range(2)
        }
        assert len(ids) == 1
        (run_id,) = ids
        listed = await control.ListRuns(control_pb2.ListRunsRequest(run_id=run_id))
        shown = listed.run_dict[run_id]
        assert shown.status.status == "pending"
        assert shown.override_config["num-rounds"].sint64 == 4
        assert shown.pending_at.endswith("+00:00")
        assert listed.now.endswith("+00:00")
        assert set((await control.ListRuns(control_pb2.ListRunsRequest())).run_dict) == ids

        stop = control_pb2.StopRunRequest(run_id=run_id)
        assert (await control.StopRun(stop)).success
        assert (await refusal(control.StopRun(stop)))[0] is grpc.StatusCode.FAILED_PRECONDITION

    on_a_served_link(link, body)


@pytest.mark.row("S45")
def test_the_commit_of_an_app_is_kept_with_its_run_and_listed(link: Link, tmp_path: Path) -> None:
    origin = Origin(commit="a" * 40, url="https://example.org/o/r", subdirectory="apps/x")
    folder = given_fab.app(tmp_path / "app")

    async def body(served: Served) -> None:
        fab = fab_pb2.Fab(content=build_fab(folder, origin=origin).content)
        started = await served.control.StartRun(control_pb2.StartRunRequest(fab=fab))
        listed = await served.control.ListRuns(control_pb2.ListRunsRequest())
        shown = await served.control.ShowFederation(control_pb2.ShowFederationRequest())
        assert decode_run(listed.run_dict[started.run_id]).origin == origin
        assert decode_run(shown.federation.runs[0]).origin == origin
        with link.store.reading() as tx:
            (event,) = tx.events.list(run_id=RunId(started.run_id))
        assert event.details["commit"] == origin.commit

    on_a_served_link(link, body)


def test_refused_submissions_have_the_contracts_form(link: Link) -> None:
    async def body(served: Served) -> None:
        control = served.control
        large = fab_pb2.Fab(content=b"x" * (MAX_FAB_BYTES + 1))
        answer = await control.StartRun(control_pb2.StartRunRequest(fab=large))
        assert not answer.HasField("run_id")
        assert str(MAX_FAB_BYTES) in answer.note
        unknown = {"nope": transport_pb2.Scalar(sint64=4)}
        code, details = await refusal(
            control.StartRun(start_request(link, override_config=unknown))
        )
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "nope" in details
        assert await refusal(control.StartRun(start_request(link, federation="@x/y"))) == (
            grpc.StatusCode.NOT_FOUND,
            "Federation '@x/y' does not exist",
        )
        by_name = control_pb2.StartRunRequest(app_spec="@acme/app")
        code, _ = await refusal(control.StartRun(by_name))
        assert code is grpc.StatusCode.FAILED_PRECONDITION

    on_a_served_link(link, body)


def test_texts_the_cli_compares_are_exact(link: Link) -> None:
    async def body(served: Served) -> None:
        control, run = served.control, link.submit()
        not_found = (grpc.StatusCode.NOT_FOUND, "Run ID not found")
        assert await refusal(control.StopRun(control_pb2.StopRunRequest(run_id=5))) == not_found
        assert await refusal(control.ListRuns(control_pb2.ListRunsRequest(run_id=0))) == not_found
        artifacts = control_pb2.PullArtifactsRequest(run_id=run.run_id)
        assert await refusal(control.PullArtifacts(artifacts)) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "Cannot pull artifacts for an unfinished run",
        )
        link.runs.stop(NO_LOGIN, run.run_id)
        assert await refusal(control.PullArtifacts(artifacts)) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "ControlServicer initialized without artifact provider",
        )
        login = await control.GetLoginDetails(control_pb2.GetLoginDetailsRequest())
        assert login.authn_type == "noop"
        assert await refusal(control.GetAuthTokens(control_pb2.GetAuthTokensRequest())) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "ControlServicer initialized without account authentication",
        )
        unregister = control_pb2.UnregisterNodeRequest(node_id=4)
        assert await refusal(control.UnregisterNode(unregister)) == (
            grpc.StatusCode.NOT_FOUND,
            "Node ID not found for account",
        )
        bad_key = control_pb2.RegisterNodeRequest(public_key=b"x")
        assert await refusal(control.RegisterNode(bad_key)) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "The provided public key is not valid",
        )

    on_a_served_link(link, body)


@pytest.mark.row("S36")
def test_nodes_are_registered_listed_and_unregistered(link: Link) -> None:
    async def body(served: Served) -> None:
        control, key = served.control, new_node_key().public_pem
        request = control_pb2.RegisterNodeRequest(public_key=key)
        node_id = (await control.RegisterNode(request)).node_id
        assert await refusal(control.RegisterNode(request)) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "Public key already in use",
        )
        await control.UnregisterNode(control_pb2.UnregisterNodeRequest(node_id=node_id))
        (info,) = (await control.ListNodes(control_pb2.ListNodesRequest())).nodes_info
        assert (info.node_id, info.status, info.public_key) == (node_id, "unregistered", key)
        assert info.owner_name == "none"

    on_a_served_link(link, body)


def test_there_is_one_federation(link: Link) -> None:
    async def body(served: Served) -> None:
        control = served.control
        run, node = link.submit(), link.online()
        (brief,) = (await control.ListFederations(control_pb2.ListFederationsRequest())).federations
        assert brief.name == "@none/default"
        shown = await control.ShowFederation(
            control_pb2.ShowFederationRequest(federation_name="@none/default")
        )
        assert [n.node_id for n in shown.federation.nodes] == [node.node_id]
        assert [r.run_id for r in shown.federation.runs] == [run.run_id]
        assert [m.role for m in shown.federation.members] == ["owner"]
        create = control_pb2.CreateFederationRequest(federation_name="x")
        unimplemented = grpc.StatusCode.UNIMPLEMENTED
        assert (await refusal(control.CreateFederation(create)))[0] is unimplemented
        events = control.StreamRunEvents(control_pb2.StreamRunEventsRequest(run_id=1))
        assert (await refusal(anext(aiter(events))))[0] is unimplemented

    on_a_served_link(link, body)


async def texts(stream: AsyncIterator[control_pb2.StreamLogsResponse]) -> list[tuple[str, float]]:
    return [(part.log_output, part.latest_timestamp) async for part in stream]


@pytest.mark.row("S62")
def test_a_log_is_followed_to_the_end_of_the_run_and_resumed_exactly(link: Link) -> None:
    async def body(served: Served) -> None:
        control = served.control
        run, _ = link.running()
        link.logs.append(run.run_id, ["one\n"])
        request = control_pb2.StreamLogsRequest(run_id=run.run_id)
        stream = aiter(control.StreamLogs(request))
        async with asyncio.timeout(SOON_S):
            first = await anext(stream)
            assert first.log_output == "one\n"
            await in_thread(link.logs.append, run.run_id, ["two\n"])
            assert (await anext(stream)).log_output == "two\n"
            await in_thread(link.runs.stop, NO_LOGIN, run.run_id)
            assert await texts(stream) == []
            resumed = control_pb2.StreamLogsRequest(
                run_id=run.run_id, after_timestamp=first.latest_timestamp
            )
            rest = await texts(aiter(control.StreamLogs(resumed)))
        assert [text for text, _ in rest] == ["two\n"]
        missing = control.StreamLogs(control_pb2.StreamLogsRequest(run_id=3))
        code, details = await refusal(anext(aiter(missing)))
        assert (code, details) == (grpc.StatusCode.NOT_FOUND, "Run ID not found")

    on_a_served_link(link, body)


def test_a_follower_is_sent_away_when_the_superlink_stops(link: Link) -> None:
    async def body(served: Served) -> None:
        run, _ = link.running()
        stream = served.control.StreamLogs(control_pb2.StreamLogsRequest(run_id=run.run_id))
        reading = asyncio.ensure_future(refusal(anext(aiter(stream))))
        assert await served.is_held(reading)
        served.wakeups.close()
        async with asyncio.timeout(SOON_S):
            assert (await reading)[0] is grpc.StatusCode.UNAVAILABLE

    on_a_served_link(link, body)
