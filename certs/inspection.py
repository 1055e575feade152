"""Looking at a deployment's files without touching them: what is wrong, and what mends it."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from certs import authority
from certs.errors import ExitCode, PkiError
from certs.identities import parse_list, parse_public_line, public_line_of
from certs.layout import (
    CA_CERTIFICATE,
    NODE_KEY,
    NODE_PUBLIC,
    PUBLIC_SUFFIXES,
    SECRET,
    AppIoLink,
    Layout,
    PairFiles,
)
from certs.names import SERVER_NAMES

_OTHERS: Final = 0o007
_GROUP: Final = 0o070
_READ: Final = 4
_ENTER: Final = 1


class Level(StrEnum):
    """How bad a finding is."""

    BROKEN = "broken"
    EXPIRING = "expiring"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    level: Level
    path: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What people want to know of a certificate."""

    path: str
    days_left: int
    valid_until: str
    names: list[str]
    fingerprint: str


@dataclass(slots=True)
class Inspection:
    """Everything a look at the folder brought up."""

    root: Path
    certificates: list[CertificateFacts] = field(default_factory=list)
    nodes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_fine(self) -> bool:
        """Whether nothing has to be done."""
        return not self.findings

    def facts(self) -> dict[str, Any]:
        """Return it for scripts."""
        certificates = [
            {key.replace("_", "-"): value for key, value in asdict(c).items()}
            for c in self.certificates
        ]
        findings = [asdict(finding) for finding in self.findings]
        return {
            "out": str(self.root),
            "fine": self.is_fine,
            "certificates": certificates,
            "listed-nodes": self.nodes,
            "findings": findings,
        }

    def text(self) -> str:
        """Return it for people."""
        lines = [f"{'days left':>9}  certificate"]
        lines += [
            f"{c.days_left:>9}  {c.path}" + (f"  ({', '.join(c.names)})" if c.names else "")
            for c in self.certificates
        ]
        for finding in self.findings:
            lines.append(f"{finding.level}: {finding.path}: {finding.cause}")
            lines.append(f"  what to do: {finding.remedy}")
        lines += [] if self.findings else [f"all is well in {self.root}"]
        return "\n".join(lines) + "\n"


def inspect_tree(
    root: Path, *, now: datetime, warn_days: int = 30, reader: int | None = None
) -> Inspection:
    """Check every file of a deployment.

    Args:
        root: the folder that `all` or `site` filled.
        now: the present instant.
        warn_days: a certificate with fewer days left is a finding.
        reader: user and group id that must be able to read private files; None: nobody special.

    Raises:
        PkiError: there is no such folder.
    """
    layout = Layout(root)
    if not layout.ca.certificate.exists():
        raise PkiError(
            f"{layout.ca.certificate} does not exist",
            "make the certificates first: make certs; or name their folder with --out",
            code=ExitCode.NOT_FOUND,
        )
    return _Inspector(layout, now, warn_days, reader).run()


class _Inspector:
    """One look; collects findings instead of stopping at the first."""

    def __init__(self, layout: Layout, now: datetime, warn_days: int, reader: int | None) -> None:
        self._layout, self._now = layout, now
        self._warn_days, self._reader = warn_days, reader
        self._result = Inspection(layout.root)
        is_server = layout.superlink.exists()
        verb = "all" if is_server else "site --name NAME"
        self._repair = f"pki.py {verb} --out {layout.root}"

    def run(self) -> Inspection:
        """Check role by role, then the rights of every file."""
        ca = self._certificate(self._layout.ca.certificate, is_ca=True)
        if self._layout.ca.key.exists():
            self._guarded(self._layout.ca.key, partial(self._pair, self._layout.ca))
        if self._layout.superlink.exists():
            self._guarded(self._layout.superlink, partial(self._server, ca))
            user = self._layout.user / CA_CERTIFICATE
            self._guarded(user, partial(self._same, user, self._layout.ca.certificate))
        for link in self._layout.links():
            self._guarded(link.daemon, partial(self._link, link))
        for number in self._layout.node_numbers():
            self._guarded(self._layout.supernode(number), partial(self._node, number))
        for folder in self._layout.folders():
            self._guarded(folder, partial(self._rights, folder))
        return self._result

    def _server(self, ca: list[x509.Certificate]) -> None:
        files = self._layout.server
        self._same(self._layout.superlink / CA_CERTIFICATE, self._layout.ca.certificate)
        self._pair(files)
        self._chain(files.certificate, ca, self._layout.ca.certificate)
        self._names(files)
        listing = self._layout.node_list
        self._result.nodes = len(parse_list(listing.read_text("utf-8"), str(listing)))

    def _names(self, files: PairFiles) -> None:
        """Names that an earlier version did not give; whoever has an authority chooses theirs."""
        has = authority.hosts_of(authority.load_certificates(files.certificate)[0])
        missing = [name for name in SERVER_NAMES if name not in has]
        if missing and self._layout.ca.key.exists():
            cause = f"is not for {', '.join(missing)}, which programs here are called"
            nodes = max(self._layout.node_numbers(), default=0)
            remedy = f"pki.py all --nodes {nodes} --out {self._layout.root}"
            path = str(files.certificate)
            self._result.findings.append(Finding(Level.INCOMPLETE, path, cause, remedy))

    def _link(self, link: AppIoLink) -> None:
        self._pair(link.identity)
        signers = authority.load_certificates(link.executor / "appio-ca.crt")
        self._chain(link.identity.certificate, signers, link.executor / "appio-ca.crt")
        self._same(link.executor / SECRET, link.daemon / SECRET)
        if link.authority.certificate.exists():
            self._same(link.executor / "appio-ca.crt", link.authority.certificate)

    def _node(self, number: int) -> None:
        folder = self._layout.supernode(number)
        self._same(folder / CA_CERTIFICATE, self._layout.ca.certificate)
        public = folder / NODE_PUBLIC
        line = parse_public_line(public.read_text("utf-8"), str(public))
        if public_line_of(folder / NODE_KEY, "").blob != line.blob:
            self._broken(public, f"is not the public half of {NODE_KEY}", self._repair)
        listing = self._layout.node_list
        if listing.exists():
            listed = parse_list(listing.read_text("utf-8"), str(listing))
            if line.blob not in {known.blob for known in listed}:
                remedy = f"pki.py add-node --out {self._layout.root} {public}"
                self._broken(listing, f"does not list the key of {folder.name}", remedy)

    def _pair(self, files: PairFiles) -> None:
        if files.certificate != self._layout.ca.certificate:
            self._certificate(files.certificate)
        key = authority.load_key(files.key)
        if authority.load_certificates(files.certificate)[0].public_key() != key.public_key():
            self._broken(files.key, f"is not the key of {files.certificate.name}", self._repair)

    def _chain(self, path: Path, signers: list[x509.Certificate], trust: Path) -> None:
        if signers and not authority.is_issued_by(authority.load_certificates(path), signers):
            self._broken(path, f"was not issued by {trust}", self._repair)

    def _certificate(self, path: Path, *, is_ca: bool = False) -> list[x509.Certificate]:
        found: list[x509.Certificate] = []
        self._guarded(path, lambda: found.extend(authority.load_certificates(path)))
        for certificate in found[:1]:
            days = authority.days_left(certificate, now=self._now)
            self._result.certificates.append(
                CertificateFacts(
                    path=str(path),
                    days_left=days,
                    valid_until=certificate.not_valid_after_utc.isoformat(),
                    names=authority.hosts_of(certificate),
                    fingerprint=authority.fingerprint(certificate),
                )
            )
            self._time(path, certificate, days, is_ca=is_ca)
        return found

    def _time(self, path: Path, certificate: x509.Certificate, days: int, *, is_ca: bool) -> None:
        remedy = (
            f"pki.py all --force --out {self._layout.root}, then give every site and researcher "
            "the new ca.crt"
            if is_ca
            else f"pki.py renew-server --out {self._layout.root}"
        )
        if self._now < certificate.not_valid_before_utc:
            since = certificate.not_valid_before_utc.isoformat()
            self._broken(path, f"is not valid before {since}", "set this machine's clock by NTP")
        elif days < 0:
            self._broken(path, f"expired {-days} days ago", remedy)
        elif days < self._warn_days:
            cause = f"expires in {days} days"
            self._result.findings.append(Finding(Level.EXPIRING, str(path), cause, remedy))

    def _same(self, path: Path, original: Path) -> None:
        if not path.exists():
            self._broken(path, "does not exist", self._repair)
        elif original.exists() and path.read_bytes() != original.read_bytes():
            self._broken(path, f"differs from {original}", self._repair)

    def _rights(self, folder: Path) -> None:
        """Private files: nobody else's, and within reach of the container they are for."""
        found = sorted(folder.iterdir())
        files = [p for p in found if p.is_file() and p.suffix not in PUBLIC_SUFFIXES]
        too_wide = _OTHERS if folder.name != "ca" else _OTHERS | _GROUP
        for path in files:
            if (mode := path.stat().st_mode & 0o777) & too_wide:
                mended = "o=" if folder.name != "ca" else "go="
                cause = f"can be read by others than its owner ({mode:04o})"
                self._broken(path, cause, f"sudo chmod {mended} {path}")
        if self._reader is None or folder.name == "ca":
            return
        if not _allows(folder.stat(), self._reader, _ENTER):
            cause = f"containers, which run as uid {self._reader}, cannot enter it"
            self._broken(folder, cause, f"sudo chmod 755 {folder}")
        shut = [p for p in files if not _allows(p.stat(), self._reader, _READ)]
        if shut:
            rights = ", ".join(f"{p.name} is {_describe_rights(p.stat())}" for p in shut)
            self._broken(
                folder,
                f"containers, which run as uid {self._reader}, cannot read it: {rights}",
                f"sudo chown -R 0:{self._reader} {folder} && sudo chmod -R u=rwX,g=rX,o= {folder}",
            )

    def _guarded(self, path: Path, look: Callable[[], Any]) -> None:
        try:
            look()
        except PkiError as error:
            self._broken(path, error.cause, error.hint)
        except FileNotFoundError as error:
            self._broken(Path(error.filename or path), "does not exist", self._repair)
        except (OSError, UnicodeDecodeError) as error:
            self._broken(path, f"cannot be read: {error}", "check its owner, or run as root")

    def _broken(self, path: Path, cause: str, remedy: str) -> None:
        self._result.findings.append(Finding(Level.BROKEN, str(path), cause, remedy))


def _allows(found: os.stat_result, reader: int, right: int) -> bool:
    """Tell whether user and group ``reader`` has a right: 4 to read, 1 to enter."""
    owners = ((found.st_uid == reader, 6), (found.st_gid == reader, 3), (True, 0))
    shift = next(shift for applies, shift in owners if applies)
    return bool(found.st_mode >> shift & right)


def _describe_rights(found: os.stat_result) -> str:
    return f"{found.st_uid}:{found.st_gid} {found.st_mode & 0o777:04o}"
