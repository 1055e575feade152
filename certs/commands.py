"""The command line: verbs, their flags, and what they tell people and scripts."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from certs import authority
from certs.deployment import Deployment
from certs.errors import ExitCode, PkiError
from certs.inspection import inspect_tree
from certs.layout import MAX_NODES
from certs.names import server_names, site_name, site_names
from certs.storage import READER, Change

_EPILOG: Final = """\
On the server: all, check, renew-server, add-node.  At a site: site, check, renew-server.
Exit codes: 0 done, 1 check found something, 2 usage or unusable input, 3 disk or library,
4 nothing there, 6 wrong state.
"""

Report = tuple[dict[str, Any], str, int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; an expected failure is a cause and a remedy, never a traceback."""
    args = _parser().parse_args(argv)
    try:
        facts, text, code = args.verb(args, datetime.now(UTC))
    except PkiError as error:
        sys.stderr.write(f"pki.py: error: {error.cause}\n  what to do: {error.hint}\n")
        return int(error.code)
    except UnicodeDecodeError as error:
        sys.stderr.write(f"pki.py: error: a key file is not text: {error}\n")
        return int(ExitCode.USAGE)
    except OSError as error:
        sys.stderr.write(
            f"pki.py: error: {error.filename}: {error.strerror}\n  what to do: {_mend(error)}\n"
        )
        return int(ExitCode.UNREACHABLE)
    sys.stdout.write(text if args.format == "text" else json.dumps(facts, indent=2) + "\n")
    return int(code)


def _all(args: argparse.Namespace, now: datetime) -> Report:
    """Make what a server and its nodes need; what is there and good stays."""
    hosts = None if args.san is None else server_names(args.san)
    deployment = Deployment(args.out, now=now)
    deployment.make_all(hosts=hosts, names=_node_names(args), force=args.force)
    layout = deployment.layout
    ca = authority.load_certificates(layout.ca.certificate)[0]
    server = authority.load_certificates(layout.server.certificate)[0]
    names = authority.hosts_of(server)
    days = authority.days_left(server, now=now)
    facts = {
        "ca-fingerprint": authority.fingerprint(ca),
        "names": names,
        "days-left": days,
        "nodes": [
            {"number": n, "fingerprint": deployment.node_line(n).fingerprint}
            for n in layout.node_numbers()
        ],
    }
    text = f"server.crt is for {', '.join(names)}; {days} days left\n"
    text += f"CA fingerprint (SHA-256): {facts['ca-fingerprint']}\n{_reader_hint(args.out)}"
    return _report(deployment, facts, text)


def _site(args: argparse.Namespace, now: datetime) -> Report:
    """At a site's machine: make its node key; only the public half travels."""
    name = site_name(args.name)
    deployment = Deployment(args.out, now=now)
    deployment.make_site(args.number, name, args.ca, force=args.force)
    line = deployment.node_line(args.number)
    ca = authority.load_certificates(deployment.layout.ca.certificate)[0]
    facts = {
        "public-key": str(line),
        "fingerprint": line.fingerprint,
        "ca-fingerprint": authority.fingerprint(ca),
    }
    text = (
        f"\nSend this line to the server's operator; it is no secret:\n{line}\n\n"
        f"Tell them its fingerprint by another way (telephone):\n{line.fingerprint}\n\n"
        f"Compare with them the CA's fingerprint (SHA-256):\n{facts['ca-fingerprint']}\n"
        f"{_reader_hint(args.out)}"
    )
    return _report(deployment, facts, text)


def _add_node(args: argparse.Namespace, now: datetime) -> Report:
    """At the server: admit a site by the public key it sent."""
    is_stdin = str(args.key) == "-"
    origin = "standard input" if is_stdin else str(args.key)
    content = sys.stdin.buffer.read() if is_stdin else args.key.read_bytes()
    deployment = Deployment(args.out, now=now)
    line, is_new = deployment.add_node(content.decode("utf-8"), origin)
    facts = {"fingerprint": line.fingerprint, "comment": line.comment, "added": is_new}
    said = "added to" if is_new else "is already on"
    text = (
        f"{line.fingerprint} {line.comment} {said} {deployment.layout.node_list}\n"
        "Compare the fingerprint with what the site told you before it takes part.\n"
        "A SuperLink reads the list when it starts; to admit the node to one that runs:\n"
        f"  flwr supernode register {args.key if not is_stdin else 'node.pub'}\n"
    )
    return {"out": str(args.out), **facts}, text, ExitCode.DONE


def _renew(args: argparse.Namespace, now: datetime) -> Report:
    """Issue new certificates by the same authorities; nobody's trust changes."""
    hosts = None if args.san is None else server_names(args.san)
    deployment = Deployment(args.out, now=now)
    deployment.renew(hosts)
    text = "Running daemons show the new ones from the next connection on, without a restart.\n"
    return _report(deployment, {}, text)


def _check(args: argparse.Namespace, now: datetime) -> Report:
    """Look at every file: days left, pairs, chains, copies, rights and owners."""
    reader = args.reader if args.reader is not None else READER if os.geteuid() == 0 else 0
    result = inspect_tree(args.out, now=now, warn_days=args.warn_days, reader=reader or None)
    code = ExitCode.DONE if result.is_fine else ExitCode.FINDINGS
    return result.facts(), result.text(), code


def _report(deployment: Deployment, facts: dict[str, Any], text: str) -> Report:
    root = deployment.layout.root
    changes = [
        {"path": str(change.path.relative_to(root)), "why": change.why}
        for change in deployment.changes
    ]
    said = _by_folder(deployment.changes, root) or f"nothing to do: {root} is complete\n"
    return {"out": str(root), "changes": changes, **facts}, said + text, ExitCode.DONE


def _by_folder(changes: Sequence[Change], root: Path) -> str:
    """Return one line for each folder and reason."""
    files: dict[tuple[Path, str], list[str]] = {}
    for change in changes:
        files.setdefault((change.path.parent, change.why), []).append(change.path.name)
    return "".join(
        f"wrote {root.name}/{folder.relative_to(root)}: {' '.join(names)} ({why})\n"
        for (folder, why), names in sorted(files.items())
    )


def _node_names(args: argparse.Namespace) -> list[str]:
    names = site_names(args.names or "")
    count = len(names) if args.names and args.nodes is None else args.nodes
    count = 2 if count is None else count
    if len(names) > count:
        raise PkiError(
            f"{len(names)} names are given for {count} nodes", "leave --nodes out, or raise it"
        )
    return [*names, *[""] * (count - len(names))]


def _reader_hint(out: Path) -> str:
    if os.geteuid() in {0, READER}:
        return ""
    return (
        f"Private files are yours alone (0600); containers run as uid {READER} and cannot read "
        "them.\nFor containers, let the tool's own container set the owners:\n"
        f'  docker run --rm -v "{out.resolve()}:/certs" flwr-compose/certs:0.1.0 all --nodes N\n'
    )


def _mend(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "check the path"
    if isinstance(error, PermissionError):
        return (
            "the files belong to somebody else: run this as that user (sudo), or run the "
            "container form, which is root inside"
        )
    return "check the disk: space, quota, read-only mount"


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_NODES:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MAX_NODES}")
    return number


def _number(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("nodes are counted from 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pki.py",
        description="Make, hand on and check what a federation trusts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    add = _verb(verbs, "all", _all)
    _san_flag(add)
    add.add_argument("--nodes", type=_count, metavar="N", help="node key pairs (default: 2)")
    add.add_argument("--names", metavar="A,B", help="names of the nodes, in order")
    add.add_argument("--force", action="store_true", help="make everything anew")

    add = _verb(verbs, "site", _site)
    add.add_argument("--name", required=True, help="the site's name, as in hospital-a")
    add.add_argument("--ca", type=Path, metavar="FILE", help="the server operator's ca.crt")
    add.add_argument(
        "--number", type=_number, default=1, metavar="N", help="which node of this machine (1)"
    )
    add.add_argument("--force", action="store_true", help="give the node a new key")

    add = _verb(verbs, "add-node", _add_node)
    add.add_argument("key", type=Path, metavar="KEY.pub", help="the site's node.pub; - reads stdin")

    add = _verb(verbs, "check", _check)
    add.add_argument(
        "--warn-days", type=int, default=30, metavar="N", help="fewer days left fail (default: 30)"
    )
    add.add_argument(
        "--reader",
        type=int,
        metavar="UID",
        help=f"who has to be able to read private files (default: {READER} for root; 0: nobody)",
    )

    _san_flag(_verb(verbs, "renew-server", _renew))
    return parser


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace, datetime], Report]
) -> argparse.ArgumentParser:
    says = (run.__doc__ or "").strip()
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=says, description=says, allow_abbrev=False
    )
    parser.set_defaults(verb=run)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(os.environ.get("FLWR_CERTS_DIR") or ".state/certs"),
        metavar="DIR",
        help="the folder (default: $FLWR_CERTS_DIR, else .state/certs)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser


def _san_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--san",
        action="append",
        metavar="NAME",
        help="host name or address that sites and researchers dial; repeatable, or a,b,c; "
        "without it the names stay as they are",
    )
