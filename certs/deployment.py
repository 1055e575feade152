"""What the commands do to a deployment's folder: make what is missing, renew, take in a site's key.

Everything is safe to interrupt and to repeat: a file counts when it is whole and fits the others.
"""

import secrets
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from certs import authority
from certs.authority import AUTHORITY_LIFE, SERVER_LIFE, Pair
from certs.errors import ExitCode, PkiError
from certs.identities import (
    PublicLine,
    merge_lines,
    new_node_key,
    parse_list,
    parse_public_line,
    public_line_of,
)
from certs.layout import CA_CERTIFICATE, NODE_KEY, NODE_PUBLIC, SECRET, AppIoLink, Layout, PairFiles
from certs.names import SERVER_NAMES
from certs.storage import Change, Storage

RENEW_AT: Final = timedelta(days=30)
_SECRET_BYTES: Final = 32
_COPY: Final = "copy"


class Deployment:
    """The folder of a server with its sites, or of one site alone."""

    def __init__(self, root: Path, *, now: datetime, storage: Storage | None = None) -> None:
        """Take the folder and the present instant; nothing is read or written yet."""
        self.layout = Layout(root)
        self._now = now
        self._storage = storage or Storage(root)

    @property
    def changes(self) -> list[Change]:
        """What was written, in order."""
        return self._storage.changes

    def make_all(
        self, *, hosts: Sequence[str] | None, names: Sequence[str], force: bool = False
    ) -> None:
        """Make whatever a server and its nodes lack.

        Args:
            hosts: every name of the server certificate; None keeps those it has.
            names: of the nodes, in order; an empty one keeps what its key has, or the default.
            force: make everything anew, but keep the public keys that came from elsewhere.

        Raises:
            PkiError: something that is here cannot be used.
        """
        with self._storage.opened():
            if force:
                self._erase()
            self._make_ca()
            self._make_server(hosts)
            self._copy_ca(self.layout.superlink, self.layout.user)
            self._make_link(self.layout.server_link)
            had = {n: self._found_blob(n) for n in self.layout.node_numbers()}
            own = [self._make_node(number, name) for number, name in enumerate(names, start=1)]
            gone = {
                had.get(n, "") for n, line in enumerate(own, start=1) if had.get(n) != line.blob
            }
            self._list_nodes(own, gone=gone)
            self._settle()

    def make_site(self, number: int, name: str, ca: Path | None, *, force: bool = False) -> None:
        """Make what one SuperNode needs, at its own machine.

        Args:
            number: which of this machine's SuperNodes.
            name: comment of its public key.
            ca: the server operator's ``ca.crt``; None when it is here already.
            force: make the node a new identity.

        Raises:
            PkiError: the certificate is missing or none of an authority.
        """
        content = None if ca is None else _read_ca(ca)
        with self._storage.opened():
            target = self.layout.ca.certificate
            if content is None and not target.exists():
                raise PkiError(
                    "this site has no ca.crt yet",
                    "get user/ca.crt from the server's operator and give it: --ca ca.crt",
                )
            if content is not None:
                self._refuse_foreign_ca(content)
                why = "another CA than before" if target.exists() else "given"
                self._storage.sync(target, content, why)
            if force:
                self._storage.remove(self.layout.supernode(number) / NODE_KEY, "made anew")
            self._make_node(number, name)
            self._settle()

    def renew(self, hosts: Sequence[str] | None) -> None:
        """Issue new certificates for every identity that is here, by the same authorities.

        Raises:
            PkiError: there is nothing to renew, or an authority's key is not here.
        """
        links = self.layout.links()
        if not links:
            raise PkiError(
                f"{self.layout.root} has no certificates",
                "make them first: make certs",
                code=ExitCode.NOT_FOUND,
            )
        with self._storage.opened():
            if self.layout.superlink.exists():
                self._make_server(hosts, always=True)
            for link in links:
                self._make_link(link, always=True)
            self._settle()

    def add_node(self, text: str, origin: str) -> tuple[PublicLine, bool]:
        """Put a site's public key on the SuperLink's list; return it and whether it was new.

        Raises:
            PkiError: it is no key a node may use, or this is no server's folder.
        """
        line = parse_public_line(text, origin)
        if not self.layout.superlink.exists():
            raise PkiError(
                f"{self.layout.root} holds no server's files",
                "run this at the server, with --out naming the folder of `make certs`",
                code=ExitCode.NOT_FOUND,
            )
        with self._storage.opened():
            known = {known.blob for known in self.listed()}
            if line.blob not in known:
                self._list_nodes([line])
        return line, line.blob not in known

    def listed(self) -> list[PublicLine]:
        """Return the keys on the SuperLink's list.

        Raises:
            PkiError: a line is no key.
        """
        path = self.layout.node_list
        return parse_list(path.read_text("utf-8"), str(path)) if path.exists() else []

    def node_line(self, number: int) -> PublicLine:
        """Return the public half of a node made here.

        Raises:
            PkiError: the file is not there or is none.
        """
        path = self.layout.supernode(number) / NODE_PUBLIC
        return parse_public_line(path.read_text("utf-8"), str(path))

    # -- the authority ----------------------------------------------------------------------

    def _make_ca(self) -> None:
        files, root = self.layout.ca, self.layout.root
        if files.certificate.exists() and files.certificate.stat().st_size:
            return
        copies = [p for p in root.glob(f"*/{CA_CERTIFICATE}") if p != files.certificate]
        if copies:
            raise PkiError(
                f"{files.certificate} is gone, and others trust it already",
                f"put it back: cp {copies[0]} {files.certificate} (or --force makes a new CA)",
                code=ExitCode.WRONG_STATE,
            )
        name = f"flwr-compose CA {secrets.token_hex(4)}"
        self._write_pair(files, authority.new_authority(name, now=self._now), "new authority")

    def _ca_certificates(self) -> list[x509.Certificate]:
        return authority.load_certificates(self.layout.ca.certificate)

    def _require_ca(self, why: str) -> Pair:
        """Return the authority with its key, which may lie elsewhere until it is needed."""
        files = self.layout.ca
        pair = authority.find_pair(files)
        if pair is None:
            raise PkiError(
                f"{self.layout.server.certificate} has to be issued ({why}), and the CA's key "
                f"{files.key} is not here",
                "put the key back for this one command, or put a certificate and key of your "
                "own authority there",
                code=ExitCode.WRONG_STATE,
            )
        if not pair.is_matching:
            raise PkiError(
                f"{files.key} is not the key of {files.certificate}",
                "put the right one back, or --force makes a new CA for everybody",
                code=ExitCode.WRONG_STATE,
            )
        if pair.certificate.not_valid_after_utc - self._now < RENEW_AT:
            days = authority.days_left(pair.certificate, now=self._now)
            raise PkiError(
                f"the CA itself has {days} days left",
                "make everything anew with --force, and give every site and researcher the new "
                "ca.crt",
                code=ExitCode.WRONG_STATE,
            )
        return pair

    def _refuse_foreign_ca(self, content: bytes) -> None:
        files = self.layout.ca
        if files.key.exists() and files.certificate.read_bytes() != content:
            raise PkiError(
                f"{self.layout.root} has a CA of its own, whose key is {files.key}",
                "give the site a folder of its own: --out",
                code=ExitCode.WRONG_STATE,
            )

    def _copy_ca(self, *folders: Path) -> None:
        content = self.layout.ca.certificate.read_bytes()
        for folder in folders:
            self._storage.sync(folder / CA_CERTIFICATE, content, _COPY)

    # -- server and AppIo identities --------------------------------------------------------

    def _make_server(self, hosts: Sequence[str] | None, *, always: bool = False) -> None:
        files = self.layout.server
        present = authority.find_pair(files)
        is_issuer = self.layout.ca.key.exists()
        # Without the CA's key nothing is renewed early: `check` warns, what works is left alone.
        margin = RENEW_AT if is_issuer else timedelta()
        why = self._why_new(present, self._ca_certificates(), margin=margin)
        if always and present:
            why = "renewed"
        wanted = list(hosts or SERVER_NAMES)
        if present is not None:
            has = authority.hosts_of(present.certificate)
            if hosts is None:  # nobody named any: what an operator added earlier stays
                wanted = list(dict.fromkeys([*wanted, *has])) if is_issuer else has
            why = _describe_names(has, wanted) or why
        if why is not None:
            pair = authority.issue(
                self._require_ca(why), "superlink", wanted, life=SERVER_LIFE, now=self._now
            )
            self._write_pair(files, pair, why)

    def _make_link(self, link: AppIoLink, *, always: bool = False) -> None:
        """Make authority and identity of one AppIo link, and the secret its two ends share."""
        signer = authority.find_pair(link.authority)
        why = self._why_new(signer, None)
        if signer is None or why is not None:
            signer = authority.new_authority(f"AppIo of {link.name}", now=self._now)
            self._write_pair(link.authority, signer, why or "new")
        present = authority.find_pair(link.identity)
        why = "renewed" if always else self._why_new(present, [signer.certificate])
        if why is not None:
            pair = authority.issue(
                signer, link.name, link.names, life=AUTHORITY_LIFE, now=self._now
            )
            self._write_pair(link.identity, pair, why)
        self._storage.sync(link.executor / "appio-ca.crt", signer.certificate_pem, _COPY)
        secret = link.daemon / SECRET
        if not secret.exists() or not secret.stat().st_size:
            self._storage.write(secret, secrets.token_hex(_SECRET_BYTES).encode(), "new")
        self._storage.sync(link.executor / SECRET, secret.read_bytes(), _COPY)

    def _why_new(
        self,
        present: Pair | None,
        signers: Sequence[x509.Certificate] | None,
        *,
        margin: timedelta = RENEW_AT,
    ) -> str | None:
        """Say why a pair has to be made; None: it is good.  ``signers`` None: signed by itself."""
        if present is None:
            return "new"
        if not present.is_matching:
            return "key and certificate did not fit"
        certificate = present.certificate
        if signers is not None and not authority.is_issued_by(present.chain, signers):
            return "of another CA"
        if certificate.not_valid_after_utc - self._now < margin:
            return f"{authority.days_left(certificate, now=self._now)} days were left"
        return None

    def _write_pair(self, files: PairFiles, pair: Pair, why: str) -> None:
        """Write the key first: an interrupted run leaves no certificate that never had one."""
        self._storage.write(files.key, pair.key_pem, why)
        self._storage.write(files.certificate, pair.certificate_pem, why)

    # -- nodes ------------------------------------------------------------------------------

    def _make_node(self, number: int, name: str) -> PublicLine:
        folder = self.layout.supernode(number)
        private, public = folder / NODE_KEY, folder / NODE_PUBLIC
        if not private.exists() or not private.stat().st_size:
            self._storage.write(private, new_node_key(), "new")
        if not name and public.exists() and public.stat().st_size:
            name = self.node_line(number).comment
        line = public_line_of(private, name or f"supernode-{number}")
        self._storage.sync(public, f"{line}\n".encode(), "public half of the key")
        self._copy_ca(folder)
        self._make_link(self.layout.node_link(number))
        return line

    def _list_nodes(
        self, lines: Sequence[PublicLine], *, gone: AbstractSet[str] = frozenset()
    ) -> None:
        """Put keys on the SuperLink's list, and take those off that nobody holds any more."""
        path = self.layout.node_list
        text = path.read_text("utf-8") if path.exists() else ""
        parse_list(text, str(path))
        merged = merge_lines(text, list(lines), gone)
        self._storage.sync(path, merged.encode(), "the nodes that are admitted")

    def _found_blob(self, number: int) -> str:
        """Return the key in a node's public file as it stands there, empty if there is none."""
        path = self.layout.supernode(number) / NODE_PUBLIC
        fields = path.read_text("utf-8").split() if path.exists() else []
        return fields[1] if len(fields) > 1 else ""

    # -- the folder as a whole --------------------------------------------------------------

    def _erase(self) -> None:
        """Remove what this tool made, trust first, and our nodes' keys from the list.

        Folders stay, as running containers have them mounted; so do keys that came from elsewhere.
        """
        if self.layout.node_list.exists():
            self._list_nodes([], gone={self._found_blob(n) for n in self.layout.node_numbers()})
        made = {"server.crt", "server.key", "appio.crt", "appio.key", "appio-ca.crt", SECRET}
        made |= {CA_CERTIFICATE, "ca.key", NODE_KEY, NODE_PUBLIC}
        doomed = [p for p in self.layout.files() if p.name in made or p.name.startswith("appio-")]
        for found in sorted(doomed, key=lambda p: p.parent.name == "ca"):
            found.unlink()

    def _settle(self) -> None:
        for path in (*self.layout.folders(), *self.layout.files()):
            self._storage.settle(path)


def _describe_names(has: Sequence[str], wanted: Sequence[str]) -> str | None:
    added, gone = sorted(set(wanted) - set(has)), sorted(set(has) - set(wanted))
    parts = [f"names added: {', '.join(added)}"] if added else []
    return "; ".join([*parts, *([f"names gone: {', '.join(gone)}"] if gone else [])]) or None


def _read_ca(path: Path) -> bytes:
    if not path.is_file():
        raise PkiError(
            f"{path} does not exist",
            "get user/ca.crt from the server's operator",
            code=ExitCode.NOT_FOUND,
        )
    if b"PRIVATE KEY" in path.read_bytes():
        raise PkiError(f"{path} holds a private key", "ask for ca.crt: ca.key never travels")
    if not all(authority.is_authority(c) for c in authority.load_certificates(path)):
        raise PkiError(
            f"{path} holds a certificate that is no authority",
            "get user/ca.crt from the server's operator, not server.crt",
        )
    return path.read_bytes()
