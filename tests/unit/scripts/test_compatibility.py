"""The page about compatibility: one fate per name, with its reason."""

import pytest
from scripts import compatibility

MODULE = {"kind": "module"}
CLASS = {"kind": "class"}


@pytest.mark.parametrize(
    ("name", "described", "differences", "status"),
    [
        ("flwr.app.Error", CLASS, {}, "works"),
        ("flwr.app.Error", CLASS, {"flwr.app.ErrorCode": "absent"}, "works"),
        ("flwr.app.Error", CLASS, {"flwr.app.Error": "absent"}, "absent"),
        ("flwr.app.Error", CLASS, {"flwr.app.Error.code": "absent"}, "differs"),
        ("flwr.common.Error", {"same": "flwr.app.Error"}, {"flwr.app.Error": "()"}, "differs"),
        ("flwr.app", MODULE, {"flwr.app.Error": "absent"}, "works"),
    ],
)
def test_a_name_works_differs_or_is_absent(
    name: str, described: dict[str, str], differences: dict[str, str], status: str
) -> None:
    assert compatibility.row_of(name, described, differences).status == status


def test_names_with_one_fate_share_a_line_of_their_module() -> None:
    text = compatibility.page(
        {
            "flwr.__version__": {"kind": "value", "value": "1.29.0"},
            "flwr.app.Array": CLASS,
            "flwr.app.Error": CLASS,
        },
        {},
    )

    assert "| works | 3 |" in text
    assert "| `Array`, `Error` | works |  |" in text
