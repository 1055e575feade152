import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.core.errors import InvalidError
from flwr.core.run_config import (
    ConfigSyntaxError,
    UnknownConfigKeyError,
    flatten,
    fuse,
    parse_pairs,
    parse_toml,
    unflatten,
)

KEYS = st.from_regex(r"[a-z][a-z0-9\-]{0,8}", fullmatch=True)
LEAVES = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
TABLES = st.recursive(
    st.dictionaries(KEYS, LEAVES, min_size=1, max_size=4),
    lambda inner: st.dictionaries(KEYS, st.one_of(LEAVES, inner), min_size=1, max_size=4),
    max_leaves=12,
)


@given(TABLES)
def test_unflatten_undoes_flatten(table: dict[str, object]) -> None:
    assert unflatten(flatten(table)) == table


@pytest.mark.row("S37")
def test_node_config_reads_typed_values_and_quoted_strings() -> None:
    text = """partition-id=0 num-partitions=2 path="/data/a b" lr=0.5 debug=true q='x=y' t.k=1"""

    assert parse_pairs(text) == {
        "partition-id": 0,
        "num-partitions": 2,
        "path": "/data/a b",
        "lr": 0.5,
        "debug": True,
        "q": "x=y",
        "t.k": 1,
    }


@pytest.mark.row("S37")
@pytest.mark.parametrize(
    "text", ["k", "k=", "k=word", 'k="open', "a=1 b", "=1", "k=[1,2]", "k=1,j=2"]
)
def test_bad_node_config_is_refused_with_the_wanted_form(text: str) -> None:
    with pytest.raises(ConfigSyntaxError) as refused:
        parse_pairs(text)
    assert "key=value" in refused.value.hint


@pytest.mark.row("S48")
def test_an_override_must_name_a_default() -> None:
    assert fuse({"lr": 0.1, "n": 3}, {"lr": 1}) == {"lr": 1, "n": 3}
    with pytest.raises(UnknownConfigKeyError, match="Key 'rate' is not present"):
        fuse({"lr": 0.1}, {"rate": 1})


def test_lists_and_dates_are_refused() -> None:
    with pytest.raises(InvalidError, match=r"config value a\.b is a list"):
        flatten({"a": {"b": [1]}})


def test_broken_toml_names_its_source() -> None:
    with pytest.raises(ConfigSyntaxError, match=r"my\.toml"):
        parse_toml("a = ", source="my.toml")
