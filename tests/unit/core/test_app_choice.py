import pytest

from flwr.core.app_choice import EVERY_APP, AppChoice, read_choice
from flwr.core.errors import InvalidError


def test_a_choice_admits_its_apps_only() -> None:
    choice = read_choice("lab/one, lab/two")
    assert choice == AppChoice(frozenset({"lab/one", "lab/two"}))
    assert choice.admits("lab/two")
    assert not choice.admits("lab/three")
    assert read_choice(str(choice)) == choice


def test_an_empty_choice_is_every_app() -> None:
    assert read_choice(" , ") is EVERY_APP
    assert EVERY_APP.admits("lab/one")


@pytest.mark.parametrize("text", ["one", "lab/", "/one", "lab/one/two", "lab/o ne", "läb/one"])
def test_what_is_no_id_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InvalidError, match="not the id of an app") as caught:
        read_choice(text)
    assert "publisher/name" in caught.value.hint


def test_a_choice_has_a_bound() -> None:
    with pytest.raises(InvalidError, match="too many"):
        read_choice(",".join(f"lab/app-{n}" for n in range(65)))
