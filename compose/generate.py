#!/usr/bin/env python3
"""Write the site's files from one node's template: compose has no loops, and nobody uncomments.

Every file of ``templates/`` says in its parts between ``#: each node`` and ``#: end`` what one node
is; the result holds that part once per node.  Node N belongs to the profiles ``nodes-N`` up to
``nodes-MAX``: ``COMPOSE_PROFILES=nodes-3`` starts nodes 1 to 3, ``--profile simulation`` none.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
TEMPLATES: Final = HERE / "templates"
MAX_NODES: Final = 16
BEGIN: Final = "#: each node"
END: Final = "#: end"
_STALE: Final = 1
_USAGE: Final = 2


class TemplateError(Exception):
    """A template's markers do not pair up."""


def target_of(template: Path) -> Path:
    """Return the file that is made of a template; features of nodes are overlays."""
    return HERE / "site.yaml" if template.name == "site.yaml" else HERE / "overlays" / template.name


def render(template: str, nodes: int) -> str:
    """Return the text with every node's part written once per node.

    Raises:
        TemplateError: a part begins twice or does not end.
    """
    written: list[str] = []
    part: list[str] | None = None
    for line in template.splitlines(keepends=True):
        marker = line.strip()
        if marker == BEGIN and part is None:
            part = []
        elif marker == END and part is not None:
            written += (render_node("".join(part), node, nodes) for node in range(1, nodes + 1))
            part = None
        elif marker in {BEGIN, END}:
            raise TemplateError(f"{marker!r} has no partner")
        else:
            (written if part is None else part).append(line)
    if part is not None:
        raise TemplateError(f"{BEGIN!r} has no partner")
    return "".join(written)


def render_node(part: str, node: int, nodes: int) -> str:
    """Return one node's part: its number, its place in the data, when it runs."""
    profiles = ", ".join(f"nodes-{count}" for count in range(node, nodes + 1))
    part = part.replace("{PROFILES}", f"[{profiles}]")
    return part.replace("{INDEX}", str(node - 1)).replace("{N}", str(node))


def made_files(nodes: int) -> Iterator[tuple[Path, str]]:
    """Yield every generated file with the text it shall have."""
    for template in sorted(TEMPLATES.glob("*.yaml")):
        origin = f"# Written by compose/generate.py from {template.relative_to(HERE)}: edit that.\n"
        yield target_of(template), origin + render(template.read_text("utf-8"), nodes)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 1 tells that files are not what the templates say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--max", type=int, default=MAX_NODES, metavar="N", help="nodes per site (default: 16)"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when files differ"
    )
    args = parser.parse_args(argv)
    if args.max < 1:
        parser.error("--max is 1 or more")
    try:
        files = list(made_files(args.max))
    except TemplateError as error:
        sys.stderr.write(f"generate.py: {error}\n")
        return _USAGE
    stale = [(p, text) for p, text in files if not p.exists() or p.read_text("utf-8") != text]
    for path, text in stale:
        if not args.check:
            path.write_text(text, "utf-8")
        did = "differs from its template:" if args.check else "wrote"
        sys.stdout.write(f"{did} {path.relative_to(HERE)}\n")
    if args.check and stale:
        sys.stderr.write("what to do: python3 compose/generate.py\n")
        return _STALE
    return 0


if __name__ == "__main__":
    sys.exit(main())
