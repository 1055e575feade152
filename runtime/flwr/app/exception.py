"""AppExitException: an app failure that sets the exit code of its process."""

from typing import ClassVar


class AppExitException(Exception):  # noqa: N818  public name, fixed by the app API
    """Base of failures that end the app; each subclass owns an exit code."""

    exit_code: ClassVar[int] = -1

    def __init_subclass__(cls) -> None:
        """Refuse a subclass that does not say its exit code.

        Raises:
            ValueError: ``exit_code`` is not overridden.
        """
        super().__init_subclass__()
        if cls.exit_code == AppExitException.exit_code:
            raise ValueError(f"{cls.__name__} must override the class attribute exit_code")
