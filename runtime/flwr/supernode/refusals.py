"""Why an instruction is answered with an error instead of being executed."""

from flwr.core.errors import InvalidError
from flwr.core.message import ErrorCode


class IntakeRefusedError(InvalidError):
    """The instruction cannot be executed here and is answered with an error."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        """Keep the code of the error reply."""
        super().__init__(reason)
        self.code = code
