from collections.abc import Iterator
from typing import Any

import pytest

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp
from tests.unit.serverapp.fake_grid import FakeGrid

CONTEXT = Context(7, 1, {}, RecordDict(), {"rounds": 3})


def grid() -> Grid:
    return FakeGrid(1, lambda _: None)


def test_main_gets_grid_and_context_inside_the_lifespan() -> None:
    app = ServerApp()
    seen: list[Any] = []
    the_grid = grid()

    @app.lifespan()
    def lifespan(_: Context) -> Iterator[None]:
        seen.append("set up")
        yield
        seen.append("torn down")

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        seen.append((grid, context))

    app(grid=the_grid, context=CONTEXT)

    assert seen == ["set up", (the_grid, CONTEXT), "torn down"]


def test_a_server_fn_must_return_the_parts_of_an_app() -> None:
    with pytest.raises(TypeError, match="ServerAppComponents"):
        ServerApp(server_fn=lambda _c: 1)(grid(), CONTEXT)


def test_deprecated_arguments_exclude_main_and_server_fn() -> None:
    with pytest.warns(DeprecationWarning, match="server_fn"):
        app = ServerApp(config=object())
    with pytest.raises(ValueError, match="exclude"):
        app.main()(lambda _g, _c: None)
    with (
        pytest.warns(DeprecationWarning, match="server_fn"),
        pytest.raises(ValueError, match="exclude"),
    ):
        ServerApp(strategy=object(), server_fn=lambda _c: None)


def test_a_parameter_named_driver_warns_and_works() -> None:
    app, seen = ServerApp(), []

    with pytest.warns(DeprecationWarning, match="driver"):

        @app.main()
        def main(driver: Grid, context: Context) -> None:
            seen.append(driver)

    the_grid = grid()
    app(the_grid, CONTEXT)
    assert seen == [the_grid]
