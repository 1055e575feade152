"""What can be wrong with an app or its bundle: every refusal of this package, typed."""

from collections.abc import Sequence

from flwr.core.errors import ErrorKind, FlwrError, InvalidError, TooLargeError


class ManifestError(InvalidError):
    """A ``pyproject.toml`` cannot serve as an app's manifest."""

    def __init__(self, problems: Sequence[str]) -> None:
        """List each problem on a line of its own."""
        super().__init__(
            "the app's pyproject.toml has problems:\n" + "\n".join(f"  - {p}" for p in problems),
            hint="correct these lines in pyproject.toml",
        )
        self.problems = tuple(problems)


class FabInvalidError(InvalidError):
    """A bundle breaks a rule of the format, or tries to leave its directory."""

    def __init__(self, why: str) -> None:
        """Say which rule; nothing was written."""
        super().__init__(
            f"the app bundle is refused: {why}",
            hint="build it again with `flwr build` from the app's sources",
        )


class FabTooLargeError(TooLargeError):
    """A bundle, or what it expands to, exceeds a limit."""

    def __init__(self, why: str) -> None:
        """Name the limit."""
        super().__init__(
            f"the app bundle is too large: {why}",
            hint="keep data out of the app's folder, or narrow it with fab-include / fab-exclude",
        )


class FabHashMismatchError(InvalidError):
    """A bundle is not the one that was asked for."""

    def __init__(self, *, wanted: str, found: str) -> None:
        """Show both hashes in full: a shared prefix proves nothing."""
        super().__init__(f"the app bundle has SHA-256 {found}, wanted {wanted}")
        self.wanted, self.found = wanted, found


class AppBuildError(InvalidError):
    """The app's folder cannot be bundled."""


class AppEntryError(InvalidError):
    """A reference ``module:attribute`` names nothing inside the app."""

    def __init__(self, reference: str, why: str) -> None:
        """Show the reference and the reason."""
        super().__init__(
            f"component {reference!r}: {why}",
            hint='name it in [tool.flwr.app.components] as "package.module:attribute"',
        )


class AppsDirectoryError(FlwrError):
    """The directory of installed apps cannot be used."""

    kind = ErrorKind.UNAVAILABLE
