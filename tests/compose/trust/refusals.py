"""What is seen of a container that was refused."""

from dataclasses import dataclass

from tests.compose.project import Project


@dataclass(frozen=True)
class Refusal:
    """How it ended, what it said, and what the engine shows of it."""

    code: int
    log: str
    health: str


def await_refusal(project: Project, name: str) -> Refusal:
    """Wait until the container's program gave up."""
    code = project.await_exit(name, timeout=60)
    return Refusal(code, project.logs(name), project.health(name))
