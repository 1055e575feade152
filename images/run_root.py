"""A Python root file system without shell, apt or dpkg, out of Debian packages.

Packages are unpacked, never configured: what their maintainer scripts would have done and a daemon
needs (certificate bundle, library cache, accounts) is written here.  Given the same packages and
``SOURCE_DATE_EPOCH`` the tar is the same, bit for bit.
"""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from scripts.debian import SUITE, Mirrors, SetupError, run_apt, source_lines

APP_ID: Final = 10001
PYTHON: Final = "python3.13"
STDLIB: Final = f"usr/lib/{PYTHON}"
# Not unpacked at all; copyright files stay, as their licences ask.
LEFT_IN_PACKAGE: Final = (
    "./usr/share/doc/*/changelog*",
    "./usr/share/doc/*/NEWS*",
    "./usr/share/doc/*/README*",
    "./usr/share/doc/*/*.gz",
    *(f"./usr/share/{name}/*" for name in ("bug", "info", "lintian", "locale", "man")),
)
# Globs below the root, removed after unpacking: what no network daemon uses.
UNUSED: Final = (
    # other people's tools: shell start-up, init, debconf, debuggers, desktop entries
    *("etc/cron*", "etc/dpkg", "etc/host.conf", "etc/init.d", "etc/issue*", "etc/motd"),
    *("etc/profile*", "etc/skel", "etc/systemd", "etc/update-motd.d", "etc/ca-certificates*"),
    *("usr/bin/*", "usr/sbin/*", "usr/games", "usr/local/*", "usr/src", "usr/include"),
    *(f"usr/lib/{name}" for name in ("init", "systemd", "sysusers.d", "tmpfiles.d", "valgrind")),
    *(f"usr/share/{name}" for name in ("applications", "base-files", "bash-completion", "binfmts")),
    *(f"usr/share/{name}" for name in ("common-licenses/GFDL*", "debconf", "dict", "gcc", "gdb")),
    *(f"usr/share/{name}" for name in ("menu", "pixmaps", "python3", "tabset", "terminfo")),
    *("var/backups", "var/cache", "var/local", "var/log", "var/mail", "var/opt", "var/spool"),
    *("boot", "home", "lost+found", "media", "mnt", "opt", "srv"),
    # the C library's character sets and auditing; UTF-8 is built in
    *("usr/lib/*/audit", "usr/lib/*/gconv"),
    # the C library's extras: vector mathematics, tracing, NIS and Hesiod, old names
    *(f"usr/lib/*/lib{name}.so*" for name in ("mvec", "memusage", "pcprofile", "BrokenLocale")),
    *(f"usr/lib/*/lib{name}.so*" for name in ("c_malloc_debug", "thread_db", "nsl", "expatw")),
    *("usr/lib/*/libnss_compat.so*", "usr/lib/*/libnss_hesiod.so*"),
    *("usr/lib/*/engines-3", "usr/lib/*/ossl-modules", "usr/lib/binfmt.d", "etc/default"),
    # Debian's hook for crash reports, tried in vain at every start
    *("etc/python3*", f"{STDLIB}/sitecustomize.py"),
    # terminals, desktop, documentation browser, debugger, installer, tests, other platforms
    *(f"{STDLIB}/{name}" for name in ("__phello__", "_pyrepl", "curses", "dbm", "ensurepip")),
    *(f"{STDLIB}/{name}" for name in ("idlelib", "pydoc_data", "test", "tkinter", "turtle*")),
    *(f"{STDLIB}/{name}" for name in ("unittest", "venv", "wsgiref", "xmlrpc", "*/test*")),
    *(f"{STDLIB}/{name}.py" for name in ("bdb", "doctest", "pdb", "pydoc", "pickletools")),
    *(f"{STDLIB}/{name}.py" for name in ("antigravity", "imaplib", "mailbox", "poplib", "this")),
    *(f"{STDLIB}/_{name}_support.py" for name in ("aix", "android", "apple", "ios", "osx")),
    f"{STDLIB}/config-*",
    # twins in Python of modules that are there in C
    *(f"{STDLIB}/{name}.py" for name in ("_pydatetime", "_pydecimal", "_pyio")),
    *(f"{STDLIB}/lib-dynload/{name}.*" for name in ("_curses*", "_dbm*", "_gdbm*", "_tkinter*")),
    *(f"{STDLIB}/lib-dynload/{name}.*" for name in ("_test*", "_xx*", "xx*", "_ctypes_test")),
    *(f"{STDLIB}/lib-dynload/{name}.*" for name in ("readline", "_crypt", "nis", "ossaudiodev")),
    # character sets of before Unicode; the western ones and zip's own (cp437) stay
    *(f"{STDLIB}/lib-dynload/_codecs_{name}.*" for name in ("cn", "hk", "iso2022", "jp", "kr")),
    f"{STDLIB}/lib-dynload/_codecs_tw.*",
    *(f"{STDLIB}/encodings/cp{name}" for name in ("0*", "[5-9]*", "10*", "11*", "125[013-8]*")),
    *(f"{STDLIB}/encodings/cp{name}" for name in ("424*", "720*", "2*", "3*")),
    *(f"{STDLIB}/encodings/{name}*" for name in ("big5", "euc_", "gb", "hz", "iso2022", "johab")),
    *(f"{STDLIB}/encodings/{name}*" for name in ("koi8", "kz1048", "mac_", "palmos", "ptcp154")),
    *(f"{STDLIB}/encodings/{name}*" for name in ("shift_jis", "tis_620", "hp_roman8")),
    *(f"{STDLIB}/encodings/iso8859_{name}.py" for name in ("[2-9]", "1[0-46]")),
)
KEPT_PROGRAM: Final = PYTHON
KEPT_ZONES: Final = ("Etc", "UTC")  # logs are in UTC
ACCOUNTS: Final = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/sbin/nologin\n"
        f"app:x:{APP_ID}:{APP_ID}:app:/tmp:/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    ),
    "etc/group": f"root:x:0:\napp:x:{APP_ID}:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
}
FOLDERS: Final = {  # mode, owner
    **dict.fromkeys(("dev", "proc", "sys", "run", "var/lib", "usr/local/bin"), (0o755, 0)),
    "root": (0o700, 0),
    "tmp": (0o1777, 0),
    "var/tmp": (0o1777, 0),
    "data": (0o755, APP_ID),
}
APT_CONFIG: Final = """\
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "{work}/lists";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
APT::Sandbox::User "root";
APT::Update::Post-Invoke-Success "";
Acquire::Languages "none";
"""


def make(packages: Sequence[str], where: Mirrors, work: Path, out: Path, epoch: int) -> list[str]:
    """Make the root's tar; return its packages as sorted ``name version architecture`` lines.

    Raises:
        SetupError: a package cannot be had, or the root's Python does not run.
    """
    debs = download(packages, where, work)
    root = work / "root"
    root.mkdir()
    lines = sorted(unpack(deb, root) for deb in debs)
    write_certificates(root)
    prune(root)
    configure(root)
    compile_library(root)
    check(root)
    pack(root, out, epoch)
    return lines


def download(packages: Sequence[str], where: Mirrors, work: Path) -> list[Path]:
    """Fetch the packages by an apt that knows nothing of the machine but its mirrors."""
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(source_lines(where, SUITE), encoding="utf-8")
    config = work / "apt.conf"
    config.write_text(APT_CONFIG.format(work=work), encoding="utf-8")
    env = {"APT_CONFIG": str(config)}
    run_apt(["apt-get", "-qq", "update"], env=env)
    run_apt(["apt-get", "-qq", "download", *packages], env=env, cwd=work / "debs")
    debs = sorted((work / "debs").glob("*.deb"))
    if len(debs) != len(packages):
        raise SetupError(
            f"asked for {len(packages)} packages, got {len(debs)}",
            "look for a package named twice in images/base/run-packages.txt",
        )
    return debs


def unpack(deb: Path, root: Path) -> str:
    """Unpack one package and note it where scanners look in images without dpkg."""
    files = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    left = [f"--exclude={pattern}" for pattern in LEFT_IN_PACKAGE]
    tar = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner", *left]
    subprocess.run(tar, stdin=files.stdout, check=True)
    if files.wait() != 0:
        raise SetupError(f"{deb.name} is damaged", "run this again; it is downloaded anew")
    control = subprocess.run(
        ["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=True
    ).stdout
    fields = dict(line.split(": ", 1) for line in control.splitlines() if ": " in line)
    status = root / "var/lib/dpkg/status.d" / fields["Package"]
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_text(control, encoding="utf-8")
    return f"{fields['Package']} {fields['Version']} {fields['Architecture']}"


def write_certificates(root: Path) -> None:
    """Join the authorities into the bundle, where OpenSSL looks for it without being told."""
    authorities = root / "usr/share/ca-certificates"
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(path.read_bytes() for path in sorted(authorities.rglob("*.crt"))))
    shutil.rmtree(authorities)
    openssl = root / "usr/lib/ssl"
    openssl.mkdir(exist_ok=True)
    for name, target in (("certs", "/etc/ssl/certs"), ("cert.pem", f"/{bundle.relative_to(root)}")):
        if not (openssl / name).is_symlink():
            (openssl / name).symlink_to(target)


def prune(root: Path) -> None:
    """Remove what no network daemon uses."""
    kept = root / "usr/bin" / KEPT_PROGRAM
    zones = root / "usr/share/zoneinfo"
    unused = [path for pattern in UNUSED for path in sorted(root.glob(pattern)) if path != kept]
    unused += [zone for zone in sorted(zones.glob("*")) if zone.name not in KEPT_ZONES]
    for path in unused:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def configure(root: Path) -> None:
    """Write accounts, folders, the library cache and the interpreter's usual name."""
    for name, text in ACCOUNTS.items():
        (root / name).write_text(text, encoding="utf-8")
    for name, (mode, owner) in FOLDERS.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        os.chown(folder, owner, owner)
    (root / "usr/bin/python3").symlink_to(PYTHON)
    (root / "etc/ld.so.conf").write_text("include /etc/ld.so.conf.d/*.conf\n", encoding="utf-8")
    subprocess.run(["/sbin/ldconfig", "-X", "-r", str(root)], check=True)
    shutil.rmtree(root / "var/cache", ignore_errors=True)


def compile_library(root: Path) -> None:
    """Replace the standard library by its byte code: half the size, and four times faster to load.

    On a read-only root nothing could compile it later, and nothing needs to check it against its
    source.  Tracebacks keep file names and line numbers of the library, not its source lines.
    """
    options = ["-q", "-f", "-b", "--invalidation-mode", "unchecked-hash"]
    run_python(root, "-m", "compileall", *options, f"/{STDLIB}")
    for source in (root / STDLIB).rglob("*.py"):
        source.unlink()


def check(root: Path) -> None:
    """Load, in the root, every module that is written in C and what daemons are built on."""
    built = sorted((root / STDLIB / "lib-dynload").glob("*.so"))
    names = ["asyncio", "concurrent.futures", "email", "http.client", "json", "logging.config"]
    names += [
        "multiprocessing",
        "sqlite3",
        "ssl",
        "tarfile",
        "tomllib",
        "urllib.request",
        "zipfile",
    ]
    names += [path.name.split(".")[0] for path in built]
    run_python(
        root, "-c", f"import {', '.join(names)}; assert ssl.create_default_context().get_ca_certs()"
    )


def run_python(root: Path, *args: str) -> None:
    """Run the root's own Python inside it.

    Raises:
        SetupError: it does not run there.
    """
    done = subprocess.run(
        ["chroot", str(root), f"/usr/bin/{PYTHON}", "-s", "-P", *args],
        env={"PATH": "/usr/sbin:/usr/bin", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SetupError(
            f"the new root's Python failed: {(done.stderr or done.stdout).strip()[-600:]}",
            "a library it links to is missing in images/base/run-packages.txt, or too much is"
            " pruned in images/run_root.py",
        )


def pack(root: Path, out: Path, epoch: int) -> None:
    """Write a tar whose bytes depend on contents, owners and modes alone."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime = epoch
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in in_order(root):
            name = "." if path == root else f"./{path.relative_to(root)}"
            tar.add(path, name, recursive=False, filter=plain)


def in_order(root: Path) -> Iterable[Path]:
    """Walk a tree, folders before their contents, in the order of the names' bytes."""
    return sorted((root, *root.rglob("*")), key=os.fsencode)
