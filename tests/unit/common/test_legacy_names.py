import importlib
import subprocess
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

import pytest

from flwr.common.legacy_names import legacy_names

PACKAGES = (
    "flwr.client",
    "flwr.client.mod",
    "flwr.common",
    "flwr.common.record",
    "flwr.server",
    "flwr.server.compat",
    "flwr.server.strategy",
    "flwr.server.workflow",
)


@pytest.fixture
def package() -> Iterator[ModuleType]:
    made = ModuleType("old_package")
    names = {"sha256": ("hashlib", "hashlib.sha256"), "gone": ("hashlib", "nothing")}
    made.__getattr__ = legacy_names("old_package", names, submodules={"sub"})  # type: ignore[method-assign]
    sys.modules["old_package"] = made
    yield made
    del sys.modules["old_package"]


def test_a_name_warns_once_and_names_its_successor(package: ModuleType) -> None:
    with pytest.warns(DeprecationWarning, match=r"^old_package.sha256 is deprecated, use hashlib"):
        first = package.sha256
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert package.sha256 is first


def test_a_warning_points_at_who_wrote_the_name(package: ModuleType) -> None:
    with pytest.warns(DeprecationWarning, match="sha256") as caught:
        from old_package import sha256  # type: ignore[import-not-found]  # noqa: F401
    assert caught[0].filename == __file__


def test_unknown_names_are_attribute_errors(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="'old_package' has no attribute 'nonsense'"):
        _ = package.nonsense
    with pytest.raises(AttributeError, match="gone"):
        _ = package.gone
    assert not hasattr(package, "nonsense")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_of_a_package_loads_and_is_listed(name: str) -> None:
    package = importlib.import_module(name)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = [n for n in package.__all__ if getattr(package, n) is not None]

    assert loaded == package.__all__


def test_everything_is_reachable_from_one_import() -> None:
    script = (
        "import flwr as fl, sys;"
        "fl.client.NumPyClient; fl.client.mod.fixedclipping_mod; fl.server.strategy.FedAvg;"
        "fl.server.client_proxy.ClientProxy; fl.server.strategy.aggregate.aggregate;"
        "fl.common.logger.log; fl.common.typing.Run; fl.server.workflow.constant.Key;"
        "fl.simulation.start_simulation; fl.common.record.array.Array;"
        "bad = {'grpc', 'sqlalchemy', 'typer'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_a_legacy_client_loads_no_strategy() -> None:
    script = (
        "import sys; from flwr.client import NumPyClient, ClientApp; import flwr.client.answering;"
        "assert not [m for m in sys.modules if m.startswith('flwr.serverapp')]"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_an_app_of_the_present_api_loads_nothing_legacy() -> None:
    script = (
        "import sys, flwr.app, flwr.clientapp, flwr.serverapp.strategy, flwr.simulation.run;"
        "legacy = ('flwr.common', 'flwr.client.', 'flwr.server.');"
        "assert not [m for m in sys.modules if m.startswith(legacy)]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
