from pathlib import Path

import pytest

from flwr.control.connection import (
    Connection,
    ConnectionConfigError,
    ConnectionNotFoundError,
    Target,
    resolve,
)
from flwr.core.errors import InvalidError

CONFIG = """
[superlink]
default = "site"

[superlink.site]
address = "site.example:9093"
root-certificates = "{ca}"
federation = "@none/default"

[superlink.local]
address = ":local:"
options.num-supernodes = 3
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_text("x")
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(ca=tmp_path / "ca.crt"))
    return path


def found(home: Path, name: str | None = None, app: Path | None = None) -> Connection:
    return resolve(Target(name=name), config_file=home, app_dir=app or home.parent / "no-app")


def in_project(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_the_default_of_the_users_file_is_used(home: Path) -> None:
    connection = found(home)
    assert (connection.name, connection.address) == ("site", "site.example:9093")
    assert connection.root_certificates == home.parent / "ca.crt"
    assert connection.federation == "@none/default"
    assert not connection.insecure


def test_a_name_selects_another_and_its_options_are_read(home: Path) -> None:
    connection = found(home, "local")
    assert connection.is_local
    assert connection.options is not None
    assert connection.options.num_supernodes == 3


def test_the_projects_entries_come_before_the_users(home: Path, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project/ca.pem").write_text("x")
    (tmp_path / "project/pyproject.toml").write_text(
        '[tool.flwr.federations]\ndefault = "mine"\n'
        '[tool.flwr.federations.mine]\naddress = "mine.example:1"\nroot-certificates = "ca.pem"\n'
        '[tool.flwr.federations.site]\naddress = "other.example:2"\ninsecure = true\n'
    )
    app = tmp_path / "project"
    assert found(home, app=app).root_certificates == app / "ca.pem"
    assert found(home, "site", app).address == "other.example:2"
    assert found(home, "local", app).is_local


def test_an_entry_of_options_alone_is_local(home: Path, tmp_path: Path) -> None:
    app = in_project(
        tmp_path,
        '[tool.flwr.federations]\ndefault = "sim"\n'
        "[tool.flwr.federations.sim]\noptions.num-supernodes = 10\n"
        "options.backend.client-resources.num-cpus = 1\n",
    )
    options = found(home, app=app).options
    assert options is not None
    assert (options.num_supernodes, options.client_resources_num_cpus) == (10, 1)


@pytest.mark.row("S58")
def test_flags_need_no_file_and_win_over_every_file(home: Path) -> None:
    ca = home.parent / "ca.crt"
    target = Target(address="10.0.0.1:9093", root_certificates=ca)
    connection = resolve(target, config_file=Path("/nowhere"), app_dir=home.parent)
    assert (connection.address, connection.root_certificates) == ("10.0.0.1:9093", ca)
    assert connection.source == "command line"


@pytest.mark.row("S49")
def test_an_unknown_name_lists_the_ones_that_exist_and_where(home: Path) -> None:
    with pytest.raises(ConnectionNotFoundError, match=r"site \(.*config\.toml\), local \("):
        found(home, "absent")


def test_without_any_file_the_local_federation_is_the_default(tmp_path: Path) -> None:
    assert found(tmp_path / "config.toml").is_local


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("insecure = true", "address of connection 'x' is missing"),
        ("address = 3", "address of connection 'x' must be a string, got 3"),
        ('address = "h:1"\ninsecure = "yes"', "insecure of connection 'x' must be true or false"),
        ('address = "h:1"\nroot-certificates = "ca"', "must be an absolute path"),
        ('address = "h:1"\nroot-certificates = "/absent/ca"', "there is no file /absent/ca"),
        ('address = "nohost"', "is not HOST:PORT"),
        ('address = "h:99999"', "is not HOST:PORT"),
        ('address = "h:1"\noptions.num-supernode = 1', "unknown key 'num-supernode'"),
        ('address = "h:1"\noptions.num-supernodes = "2"', "num-supernodes must be int, got '2'"),
        ('address = "h:1"\noptions.num-supernodes = true', "must be int, got True"),
    ],
)
def test_a_wrong_entry_names_key_and_connection(tmp_path: Path, entry: str, why: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[superlink]\ndefault = "x"\n[superlink.x]\n{entry}\n')
    with pytest.raises(InvalidError, match=why):
        found(path)


@pytest.mark.parametrize(
    "text",
    ["superlink = 3", "[superlink]\ndefault = 3", "= 3", '[superlink]\ndefault = "x"\nx = 3'],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConnectionConfigError, match=r"config\.toml"):
        found(path)


def test_certificates_and_insecure_contradict_each_other(home: Path) -> None:
    target = Target(address="h:1", insecure=True, root_certificates=home.parent / "ca.crt")
    with pytest.raises(ConnectionConfigError, match="make no sense with insecure"):
        resolve(target, config_file=home, app_dir=home.parent)


def test_a_name_and_an_address_exclude_each_other(home: Path) -> None:
    with pytest.raises(ConnectionConfigError, match="both the connection 'site'"):
        resolve(Target(name="site", address="h:1"), config_file=home, app_dir=home.parent)


def test_security_flags_without_an_address_are_refused(home: Path) -> None:
    with pytest.raises(ConnectionConfigError, match="describe the address"):
        resolve(Target(insecure=True), config_file=home, app_dir=home.parent)


def test_an_unknown_key_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[superlink]\ndefault = "x"\nx = {address = "h:1", insecur = true}\n')
    assert "insecur" in found(path).warnings[0]
