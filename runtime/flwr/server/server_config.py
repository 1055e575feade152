"""ServerConfig: how long a legacy run goes on."""

from dataclasses import dataclass


@dataclass
class ServerConfig:
    """Settings of the round loop.

    Attributes:
        num_rounds: how many rounds.
        round_timeout: seconds that clients have for one request; None is as long as messages live.
    """

    num_rounds: int = 1
    round_timeout: float | None = None

    def __repr__(self) -> str:
        timeout = (
            "no round_timeout"
            if self.round_timeout is None
            else f"round_timeout={self.round_timeout}s"
        )
        return f"num_rounds={self.num_rounds}, {timeout}"
