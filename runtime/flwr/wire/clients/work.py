"""The work of one launched ClientApp, and the bundles it comes from, as an executor holds them.

Most of it is bytes that pass through: only the app's own process reads them.  Needs no numpy.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from google.protobuf.message import DecodeError

from flwr.core.errors import InvalidError
from flwr.core.ids import RunId
from flwr.core.limits import KEPT_BUNDLES_BYTES
from flwr.core.message import Delivery
from flwr.proto import appio_pb2, fab_pb2, message_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire.codec.deliveries import read_deliveries


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as the daemon sends it; nothing of it is verified yet."""

    fab_hash: str
    content: bytes = field(repr=False)
    digest: str = field(init=False)
    """SHA-256 of the content, whatever hash it came with."""

    def __post_init__(self) -> None:
        """Hash once what is asked for with every message."""
        object.__setattr__(self, "digest", sha256(self.content).hexdigest())


class Bundles:
    """The bundles used last, so that their daemon need not send them with every launch."""

    def __init__(self, limit_bytes: int = KEPT_BUNDLES_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, Bundle] = OrderedDict()  # the least recently used first

    @property
    def digests(self) -> Sequence[str]:
        """Which are here."""
        return tuple(self._kept)

    def keep(self, bundle: Bundle) -> None:
        """Keep one, and as many of the others as there is room for."""
        self._kept[bundle.digest] = bundle
        self._kept.move_to_end(bundle.digest)
        size = sum(len(one.content) for one in self._kept.values())
        while size > self._limit_bytes:
            _, oldest = self._kept.popitem(last=False)
            size -= len(oldest.content)

    def find(self, digest: str) -> Bundle | None:
        """Return the one with this SHA-256, which is used now."""
        if (found := self._kept.get(digest)) is not None:
            self._kept.move_to_end(digest)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What an app's process needs, of which its runner reads as little as it can."""

    run_id: RunId
    bundle: Bundle | None
    inputs: bytes = field(repr=False)  # PullAppInputsResponse but for the bundle
    message: bytes = field(repr=False)  # PullAppMessagesResponse
    was_taken_whole: bool
    """By ``WholeLaunches.Take``: then ``WholeLaunches.Finish`` gives it back."""

    def for_app(self, *, with_bundle: bool) -> bytes:
        """Return what the app's process is given: a TakeResponse without the token."""
        response = launches_pb2.TakeResponse(
            run_id=self.run_id, inputs=self.inputs, message=self.message
        )
        if with_bundle and self.bundle is not None:
            response.fab.hash_str = self.bundle.fab_hash
            response.fab.content = self.bundle.content
        return response.SerializeToString()

    def context(self) -> message_pb2.Context:
        """Return the context as it was before the app ran.

        Raises:
            InvalidError: the daemon sent none.
        """
        return parse_inputs(self.inputs).context

    def instruction(self) -> Delivery:
        """Return what the app was asked.

        Raises:
            InvalidError: the daemon sent no such message.
        """
        return read_pulled(self.message)


def read_taken(taken: launches_pb2.TakeResponse, bundles: Bundles) -> Work:
    """Return the work in what ``WholeLaunches.Take`` answered; keep its bundle."""
    return Work(
        run_id=RunId(taken.run_id),
        bundle=_bundle_of(taken.fab, bundles) if taken.HasField("fab") else None,
        inputs=taken.inputs,
        message=taken.message,
        was_taken_whole=True,
    )


def read_pieces(inputs: bytes, message: bytes) -> Work:
    """Return the work in what PullAppInputs and PullMessage answered.

    Raises:
        InvalidError: they answered something else.
    """
    parsed = parse_inputs(inputs)
    bundle = None
    if parsed.HasField("fab"):
        bundle = Bundle(parsed.run.fab_hash or parsed.fab.hash_str, parsed.fab.content)
        parsed.ClearField("fab")
    return Work(
        run_id=RunId(parsed.run.run_id),
        bundle=bundle,
        inputs=parsed.SerializeToString(),
        message=message,
        was_taken_whole=False,
    )


def parse_inputs(response: bytes) -> appio_pb2.PullAppInputsResponse:
    """Parse what PullAppInputs answered.

    Raises:
        InvalidError: it is something else.
    """
    try:
        return appio_pb2.PullAppInputsResponse.FromString(response)
    except DecodeError as cause:
        raise InvalidError("the daemon's answer to PullAppInputs is malformed") from cause


def read_pulled(response: bytes) -> Delivery:
    """Read what ClientAppIo.PullMessage answered: exactly one message (wire contract §20 no. 10).

    Raises:
        InvalidError: it is something else.
    """
    try:
        pulled = appio_pb2.PullAppMessagesResponse.FromString(response)
    except DecodeError as cause:
        raise InvalidError("the daemon's answer to PullMessage is malformed") from cause
    if not (deliveries := read_deliveries(pulled, at_most=1)):
        raise InvalidError("the daemon's answer to PullMessage holds no message")
    return deliveries[0]


def _bundle_of(fab: fab_pb2.Fab, bundles: Bundles) -> Bundle | None:
    if not fab.content:
        return bundles.find(fab.hash_str)
    bundle = Bundle(fab.hash_str, fab.content)
    bundles.keep(bundle)
    return bundle
