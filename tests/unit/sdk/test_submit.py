from dataclasses import replace
from pathlib import Path

import pytest

from flwr.core.errors import InvalidError, NotFoundError, UnavailableError, UnimplementedError
from flwr.core.run_config import UnknownConfigKeyError
from flwr.fab.build import build_fab
from flwr.sdk import ConnectionConfigError, ConnectionNotFoundError, NodeStatus, SuperLink
from tests.fakes.clock import FakeClock
from tests.fakes.control import FakeControl, some_node, some_run
from tests.unit.sdk.conftest import CONNECTION


def submitted(control: FakeControl) -> list[tuple[object, ...]]:
    return [args for call, args in control.asked if call == "start_run"]  # type: ignore[misc]


@pytest.mark.row("S56", "S59")
def test_a_folder_is_bundled_and_submitted(link: SuperLink, app: Path) -> None:
    run = link.submit(app)

    assert run.run_id == 7
    assert repr(run) == "Run(7 on 127.0.0.1:9093)"


def test_a_bundle_may_be_given_as_a_file_or_as_bytes(
    link: SuperLink, control: FakeControl, app: Path, tmp_path: Path
) -> None:
    bundle = build_fab(app).content
    (tmp_path / "tiny.fab").write_bytes(bundle)

    assert link.submit(tmp_path / "tiny.fab").run_id == link.submit(bundle).run_id == 7
    assert len(submitted(control)) == 2


@pytest.mark.parametrize("missing", ["absent", "absent.fab"])
def test_what_is_not_there_is_named(link: SuperLink, missing: str) -> None:
    with pytest.raises(InvalidError, match=missing) as refused:
        link.submit(missing)
    assert "flwr build" in refused.value.hint


@pytest.mark.row("S48")
def test_overrides_may_be_nested_or_dotted(
    link: SuperLink, control: FakeControl, app: Path
) -> None:
    link.submit(app, run_config={"rounds": 5, "opt": {"name": "adam"}})
    link.submit(app, run_config={"rounds": 5, "opt.name": "adam"})

    assert [args[0] for args in submitted(control)] == [{"rounds": 5, "opt.name": "adam"}] * 2


@pytest.mark.row("S48")
def test_an_unknown_override_is_refused_before_anything_is_sent(
    link: SuperLink, control: FakeControl, app: Path
) -> None:
    with pytest.raises(UnknownConfigKeyError, match="lr"):
        link.submit(app, run_config={"lr": 1})
    assert control.asked == []


@pytest.mark.row("S56")
def test_a_submit_key_is_sent_and_else_each_submission_has_its_own(
    link: SuperLink, control: FakeControl, app: Path
) -> None:
    for key in ("", "", "nightly"):
        link.submit(app, submit_key=key)

    keys = [args[3] for args in submitted(control)]
    assert len(set(keys)) == 3
    assert keys[2] == "nightly"


@pytest.mark.row("S56")
def test_a_lost_answer_is_asked_again_with_the_same_key(
    link: SuperLink, control: FakeControl, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "pause", lambda _: None)
    control.failures = [UnavailableError("lost"), UnavailableError("lost"), None]

    link.submit(app)

    assert len(submitted(control)) == 3
    assert len({args[3] for args in submitted(control)}) == 1


@pytest.mark.row("S49")
def test_a_wrong_federation_gets_the_list_of_valid_names(link: SuperLink, app: Path) -> None:
    with pytest.raises(NotFoundError) as refused:
        link.submit(app, federation="other")
    assert refused.value.hint == "federations of this SuperLink: @none/default"


def test_runs_and_nodes_are_listed(link: SuperLink, control: FakeControl) -> None:
    control.runs = {7: some_run(), 9: some_run(9)}
    control.nodes = [some_node(3), some_node(4, NodeStatus.OFFLINE)]
    control.nodes += [some_node(5, NodeStatus.UNREGISTERED)]

    assert [run.run_id for run in link.runs(limit=1)] == [7]
    nodes = link.nodes()
    assert [(n.node_id, n.status) for n in nodes] == [(3, "online"), (4, "offline")]
    assert nodes[0].online_since is not None
    assert nodes[1].online_since is None


@pytest.mark.row("S58")
def test_an_address_and_a_certificate_need_no_file(tmp_path: Path) -> None:
    with SuperLink.connect("127.0.0.1:9093", insecure=True) as link:
        assert repr(link) == "SuperLink(127.0.0.1:9093)"
    with pytest.raises(ConnectionConfigError, match=r"there is no file .*/ca.crt"):
        SuperLink.connect("127.0.0.1:9093", root_certificates="ca.crt")
    assert not (tmp_path / "home").exists()


def test_a_name_is_looked_up_in_the_user_s_file(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text(
        '[superlink]\ndefault = "hub"\n[superlink.hub]\naddress = "hub:9093"\ninsecure = true\n'
    )
    for named in ("hub", None):
        with SuperLink.connect(named) as link:
            assert link.address == "hub:9093"
    with pytest.raises(ConnectionNotFoundError, match="known connections: hub"):
        SuperLink.connect("other")


@pytest.mark.parametrize("superlink", [":local:", None])
def test_the_command_line_s_own_superlink_is_told_how_to_be_had(superlink: str | None) -> None:
    with pytest.raises(UnimplementedError, match="starts no") as refused:
        SuperLink.connect(superlink)
    assert "127.0.0.1:39093" in refused.value.hint


def test_a_connection_s_federation_counts_unless_another_is_given(
    control: FakeControl, clock: FakeClock, app: Path
) -> None:
    named = replace(CONNECTION, federation="@none/default")
    with SuperLink(named, connect=control.connect, clock=clock) as link:
        link.submit(app)
    assert submitted(control)[0][1] == "@none/default"
