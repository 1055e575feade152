"""Wrapping a function of a ClientApp in its mods."""

from collections.abc import Sequence
from functools import partial, reduce

from flwr.app.context import Context
from flwr.app.message import Message
from flwr.clientapp.typing import ClientAppCallable, Mod


def make_ffn(ffn: ClientAppCallable, mods: Sequence[Mod]) -> ClientAppCallable:
    """Return ``ffn`` wrapped in ``mods``; the first one is the outermost."""
    return reduce(lambda inner, mod: partial(_through, mod, inner), reversed(mods), ffn)


def _through(mod: Mod, inner: ClientAppCallable, message: Message, context: Context) -> Message:
    return mod(message, context, inner)
