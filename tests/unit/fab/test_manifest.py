import pytest

from flwr.core.limits import MAX_PYPROJECT_BYTES
from flwr.core.origin import Origin
from flwr.fab.errors import FabTooLargeError, ManifestError
from flwr.fab.manifest import read_manifest
from tests.unit.fab import given


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(text.encode())
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert old in given.PYPROJECT
    return given.PYPROJECT.replace(old, new)


def test_a_complete_manifest_is_read_with_its_config_flat() -> None:
    manifest = read_manifest(given.PYPROJECT.encode())

    assert (manifest.fab_id, manifest.version) == ("acme/tiny-app", "1.2.3")
    assert str(manifest.serverapp) == "tiny.server_app:app"
    assert manifest.config == {"rounds": 3, "opt.name": "sgd"}
    assert manifest.warnings == ()


@pytest.mark.row("S44")
def test_every_problem_is_reported_at_once_one_per_line() -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest(b"[project]\nversion = 3\n[tool.flwr.app]\nfab-include = []")

    assert caught.value.message.splitlines()[1:] == [
        "  - section [tool.flwr.app.components] missing",
        '  - property "name" missing in [project]',
        '  - property "version" in [project] must be a string',
        '  - property "publisher" missing in [tool.flwr.app]',
        '  - property "serverapp" missing in [tool.flwr.app.components]',
        '  - property "clientapp" missing in [tool.flwr.app.components]',
        '  - property "fab-include" in [tool.flwr.app] must be a list of patterns, not empty',
    ]


def test_a_missing_description_or_license_is_only_a_warning() -> None:
    text = changed('description = "t"\nlicense = "Apache-2.0"\n', "")
    assert read_manifest(text.encode()).warnings == (
        'property "description" missing in [project]',
        'property "license" missing in [project]',
    )


def test_a_name_other_runtimes_refuse_is_a_warning_and_an_unsafe_one_a_problem() -> None:
    assert "my_app" in read_manifest(changed("tiny-app", "my_app").encode()).warnings[0]
    assert problems(changed("tiny-app", "../x")) == (
        """property "name" in [project]: '../x' is not allowed""",
    )


@pytest.mark.row("F33")
@pytest.mark.parametrize("value", ["[1, 2]", "2024-01-01", "{a = [1]}", "{a = 1979-05-27}"])
def test_config_values_other_than_scalars_and_tables_are_refused(value: str) -> None:
    assert "config value rounds" in problems(changed("rounds = 3", f"rounds = {value}"))[0]


@pytest.mark.row("F33")
@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 400_000) + " = 1",
        "a = " + "[" * 500_000,
        "a = " + "{a = " * 200_000,
        "\n".join("[" + ".".join(["a"] * depth) + "]" for depth in range(1, 60)),
        "a" * 1_000_000,
        "'" * 1_000_000,
    ],
    ids=["dotted key", "arrays", "inline tables", "headers", "one word", "quotes"],
)
@pytest.mark.timeout(5)
def test_hostile_toml_is_refused_quickly(text: str) -> None:
    assert len(problems(text)) == 1


@pytest.mark.row("F33")
def test_a_manifest_above_the_size_limit_is_refused_unparsed() -> None:
    with pytest.raises(FabTooLargeError, match=r"pyproject\.toml has"):
        read_manifest(b"#" * (MAX_PYPROJECT_BYTES + 1))


@pytest.mark.parametrize("text", ["\xff", "a = "])
def test_what_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="no valid TOML"):
        read_manifest(text.encode("latin-1"))


@pytest.mark.parametrize(
    "entry", ["tiny.app", "tiny/app:x", ":x", "a:", "a..b:x", "a:" + "x" * 300]
)
def test_a_component_needs_the_form_module_colon_attribute(entry: str) -> None:
    found = problems(changed('"tiny.server_app:app"', f'"{entry}"'))
    assert "must have the form" in found[0]


def test_format_version_one_names_what_it_needs() -> None:
    text = changed("[tool.flwr.app]\n", "[tool.flwr.app]\nfab-format-version = 1\n")
    assert problems(text) == (
        'fab-format-version 1 needs "flwr-version-target" in [tool.flwr.app], as "1.29.0"',
        'fab-format-version 1 needs license = {file = "LICENSE"} in [project]',
    )


def test_format_version_one_is_accepted_when_complete_and_its_target_in_range() -> None:
    text = changed(
        "[tool.flwr.app]\n",
        '[tool.flwr.app]\nfab-format-version = 1\nflwr-version-target = "1.29.0"\n',
    ).replace(
        'license = "Apache-2.0"',
        'license = {file = "LICENSE"}\ndependencies = ["flwr[simulation] >= 1.26"]',
    )
    assert read_manifest(text.encode()).format_version == 1
    assert "below the declared" in problems(text.replace("1.29.0", "1.25.0"))[0]


@pytest.mark.parametrize(("said", "fresh"), [("", False), ("warm", False), ("fresh", True)])
def test_an_app_may_ask_for_a_fresh_interpreter_for_each_message(said: str, *, fresh: bool) -> None:
    line = f'app-start = "{said}"\n' if said else ""
    text = changed("[tool.flwr.app]\n", f"[tool.flwr.app]\n{line}")
    assert read_manifest(text.encode()).wants_fresh_start is fresh


@pytest.mark.parametrize("said", ['"spawn"', "true", "[]"])
def test_another_way_to_start_is_a_problem(said: str) -> None:
    found = problems(changed("[tool.flwr.app]\n", f"[tool.flwr.app]\napp-start = {said}\n"))
    assert found == ('property "app-start" in [tool.flwr.app] must be "warm" or "fresh"',)


@pytest.mark.row("S45")
def test_the_origin_of_a_bundle_is_read() -> None:
    table = f'\n[tool.flwr-compose.origin]\ncommit = "{"a" * 40}"\nurl = "https://x.example/r"\n'
    origin = read_manifest((given.PYPROJECT + table).encode()).origin
    assert origin == Origin(commit="a" * 40, url="https://x.example/r")


@pytest.mark.parametrize(
    "table",
    ['commit = "main"', "commit = 3", f'commit = "{"a" * 40}"\nbranch = "x"', 'url = "x"'],
)
def test_an_origin_of_another_form_is_a_problem(table: str) -> None:
    text = f"{given.PYPROJECT}\n[tool.flwr-compose.origin]\n{table}\n"
    assert problems(text)[0].startswith("[tool.flwr-compose.origin]")
