"""``flwr federation``: what is asked of the SuperLink, and what is said of its answer."""

from typing import Any

import pytest

from flwr.core.errors import NotFoundError
from flwr.core.simulation import SimulationConfig
from flwr.wire.codec.federations import FederationInfo, Invitation, Invitations
from tests.fakes.control import NOW, FakeControl
from tests.unit.cli.conftest import HERE, Flwr

NODE = 2**64 - 1


@pytest.mark.parametrize(
    ("words", "call", "arguments"),
    [
        ("create x --description d", "create_federation", ("x", "d", False)),
        ("create x --simulation", "create_federation", ("x", "", True)),
        ("archive @a/x", "archive_federation", "@a/x"),
        (f"add-supernode {NODE} @a/x", "add_node_to_federation", ("@a/x", NODE)),
        (f"remove-supernode {NODE} @a/x", "remove_node_from_federation", ("@a/x", NODE)),
        ("remove-account @a/x", "remove_account_from_federation", ("@a/x", "")),
        ("remove-account @a/x ada", "remove_account_from_federation", ("@a/x", "ada")),
        ("invite create ada @a/x", "create_invitation", ("@a/x", "ada")),
        ("invite list", "list_invitations", None),
        ("invite accept @a/x", "accept_invitation", "@a/x"),
        ("invite reject @a/x", "reject_invitation", "@a/x"),
        ("invite revoke ada @a/x", "revoke_invitation", ("@a/x", "ada")),
    ],
)
def test_each_command_makes_its_call(
    flwr: Flwr, control: FakeControl, words: str, call: str, arguments: Any
) -> None:
    refused = flwr("federation", *words.split(), *HERE)
    assert refused.code == 6
    assert "does not support federation management" in refused.err

    control.manages = True
    done = flwr("federation", *words.split(), *HERE)
    assert (done.code, control.asked[-1]) == (0, (call, arguments))
    assert done.out


def test_archived_federations_and_closed_invitations_are_listed_on_demand(
    flwr: Flwr, control: FakeControl
) -> None:
    control.manages = True
    control.federations = [FederationInfo(name="@a/old", archived=True)]
    states = ("pending", "revoked")
    each = [
        Invitation(
            federation=f"@a/{s}",
            inviter="a",
            invitee="b",
            status=s,
            created_at=NOW,
            changed_at=None,
        )
        for s in states
    ]
    control.invitations = Invitations(created=tuple(each))
    for words in (("list",), ("invite", "list")):
        few = flwr("federation", *words, *HERE).out
        every = flwr("federation", *words, "--verbose", *HERE).out
        assert every.count("@") == few.count("@") + 1
    assert "archived" in flwr("federation", "ls", "-v", *HERE).out


def test_settings_of_a_simulation_are_changed_one_by_one(flwr: Flwr, control: FakeControl) -> None:
    options = "--num-supernodes 5 --client-resources-num-gpus 0.5 --init-args-log-to-driver false"
    outcome = flwr("federation", "simulation-config", *options.split(), *HERE)
    assert outcome.out == (
        "Federation @none/default now has num-supernodes=5, client-resources-num-gpus=0.5, "
        "init-args-log-to-driver=False\n"
    )
    said = SimulationConfig(
        num_supernodes=5, client_resources_num_gpus=0.5, init_args_log_to_driver=False
    )
    assert control.asked == [("configure_simulation", ("@none/default", said))]


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        ([], 2, "nothing to change is named"),
        (["--num-supernodes", "0"], 2, "--num-supernodes"),
        (["--backend-name", "spark"], 2, "--backend-name"),
        (["--init-args-log-to-driver", "maybe"], 2, "--init-args-log-to-driver"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_sent(
    flwr: Flwr, control: FakeControl, options: list[str], code: int, why: str
) -> None:
    outcome = flwr("federation", "simulation-config", *options, *HERE)
    assert (outcome.code, control.asked) == (code, [])
    assert why in outcome.err


def test_a_federation_that_is_not_simulated_is_not_found(flwr: Flwr, control: FakeControl) -> None:
    control.failures = [NotFoundError("federation @a/x is not simulated")]
    outcome = flwr("federation", "simulation-config", "@a/x", "--verbose", *HERE)
    assert outcome.code == 4


def test_a_simulated_federation_is_shown_with_its_settings(
    flwr: Flwr, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SimulationConfig(num_supernodes=5, client_resources_num_gpus=0.5)
    simulated = FederationInfo(name="@none/default", simulation=True, config=config)
    monkeypatch.setattr(control, "show_federation", lambda _: (simulated, NOW))

    shown = flwr("federation", "show", "@none/default", *HERE).out
    document = flwr("federation", "show", "@none/default", *HERE, "--format", "json").document

    assert "Federation @none/default (simulation, active)" in shown
    assert "num-supernodes" in shown
    assert "SuperNodes." not in shown
    assert "No runs." in shown
    settings = document["federation"]["simulation-config"]
    assert (settings["num_supernodes"], settings["init_args_num_cpus"]) == (5, None)
    assert len(settings) == 9
