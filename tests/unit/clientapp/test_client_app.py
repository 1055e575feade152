from collections.abc import Callable, Iterator

import pytest

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.metadata import stamp
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable, Mod


def context() -> Context:
    return Context(7, 5, {}, RecordDict(), {})


def ask(message_type: str = "train") -> Message:
    message = Message(RecordDict({"c": ConfigRecord()}), 5, message_type)
    stamp(message.metadata, run_id=7, message_id="ab", src_node_id=1)
    return message


def answering(number: int) -> ClientAppCallable:
    def answer(message: Message, _: Context) -> Message:
        return Message(RecordDict({"m": MetricRecord({"n": number})}), reply_to=message)

    return answer


def number_of(reply: Message) -> object:
    return reply.content["m"]["n"]


def noting(name: str, seen: list[str]) -> Mod:
    def mod(message: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
        seen.append(f"{name} in")
        reply = call_next(message, ctxt)
        seen.append(f"{name} out")
        return reply

    return mod


def test_messages_go_to_the_function_of_their_category_and_action() -> None:
    app = ClientApp()
    app.train()(answering(1))
    app.train("slow")(answering(2))
    app.evaluate()(answering(3))
    app.query("size")(answering(4))

    types = ["train", "train.default", "train.slow", "evaluate", "query.size"]
    assert [number_of(app(ask(t), context())) for t in types] == [1, 1, 2, 3, 4]


def test_a_decorator_returns_the_function_unchanged() -> None:
    function = answering(1)

    assert ClientApp(mods=[noting("m", [])]).train()(function) is function


def test_an_unknown_type_names_category_and_action() -> None:
    app = ClientApp()
    app.train()(answering(1))

    with pytest.raises(ValueError, match=r"evaluate.*'foo'.*train\.default"):
        app(ask("evaluate.foo"), context())


def test_registering_twice_or_under_no_identifier_is_refused() -> None:
    app = ClientApp()
    app.train()(answering(1))

    with pytest.raises(ValueError, match="already registered"):
        app.train("default")(answering(2))
    with pytest.raises(ValueError, match="identifier"):
        app.train("1a")(answering(2))


def test_forgotten_parentheses_are_explained() -> None:
    with pytest.raises(TypeError, match="parentheses"):
        ClientApp().train(answering(1))  # type: ignore[arg-type]


def test_mods_wrap_from_the_app_inwards_first_outermost() -> None:
    seen: list[str] = []
    app = ClientApp(mods=[noting("a", seen), noting("b", seen)])
    app.train(mods=[noting("c", seen)])(answering(1))

    app(ask(), context())

    assert seen == ["a in", "b in", "c in", "c out", "b out", "a out"]


def test_a_mod_of_one_function_leaves_the_others_alone() -> None:
    seen: list[str] = []
    app = ClientApp()
    app.train(mods=[noting("m", seen)])(answering(1))
    app.evaluate()(answering(2))

    app(ask("evaluate"), context())

    assert seen == []


def test_something_that_is_no_message_is_refused() -> None:
    app = ClientApp()
    app.train()(lambda _m, _c: 1)  # type: ignore[arg-type, return-value]

    with pytest.raises(TypeError, match="'train' returned int"):
        app(ask(), context())


def test_the_lifespan_surrounds_each_message_even_if_the_function_raises() -> None:
    app, seen = ClientApp(), []

    @app.lifespan()
    def lifespan(_: Context) -> Iterator[None]:
        seen.append("set up")
        yield
        seen.append("torn down")

    @app.train()
    def train(_m: Message, _c: Context) -> Message:
        raise KeyError("boom")

    with pytest.raises(KeyError):
        app(ask(), context())
    assert seen == ["set up", "torn down"]


def yields_twice(_: Context) -> Iterator[None]:
    yield
    yield


def never_yields(_: Context) -> Iterator[None]:
    yield from ()


def is_no_generator(_: Context) -> Iterator[None]:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("lifespan", "text"),
    [
        (yields_twice, "only yield once"),
        (never_yields, "at least once"),
        (is_no_generator, "at least once"),
    ],
)
def test_a_lifespan_yields_exactly_once(
    lifespan: Callable[[Context], Iterator[None]], text: str
) -> None:
    app = ClientApp()
    app.lifespan()(lifespan)
    app.train()(answering(1))

    with pytest.raises(RuntimeError, match=text):
        app(ask(), context())


def test_a_client_fn_excludes_functions_and_takes_one_parameter() -> None:
    with pytest.raises(ValueError, match="exclude"):
        ClientApp(client_fn=lambda _c: None).train()(answering(1))
    with pytest.raises(ValueError, match="one parameter"):
        ClientApp(client_fn=lambda _a, _b: None)  # type: ignore[arg-type, misc]
