"""Git repositories for tests, and a host that serves them over loopback."""

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

_WHO: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "t" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "t@example.org" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "2026-03-01T12:00:00Z" for who in ("AUTHOR", "COMMITTER")},
}


def has_git_host() -> bool:
    """Tell whether this machine's git can serve repositories over HTTP."""
    if not shutil.which("git"):
        return False
    where = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
    return (Path(where.stdout.strip()) / "git-http-backend").exists()


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular; return what it prints."""
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, **_WHO}
    argv = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(argv, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_repository(folder: Path, *options: str) -> Path:
    """Make a repository whose branch is ``main``; it has no commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main", *options)
    return folder


def commit(folder: Path, files: Mapping[str, str], tag: str = "") -> str:
    """Write and commit files; return the commit's id."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "x")
    if tag:
        git(folder, "tag", "--force", tag)
    return git(folder, "rev-parse", "HEAD")


@contextmanager
def git_host(
    root: Path, *, user: str = "", password: str = "", dumb: bool = False
) -> Iterator[str]:
    """Serve the repositories below ``root``; yield the address.

    With a password each request must show user and password.  A dumb host serves files only.
    """
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if password and self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif dumb:
                self._send_file(root / self.path.split("?")[0].lstrip("/"))
            else:
                self._send_cgi(body)

        def _send_file(self, path: Path) -> None:
            content = path.read_bytes() if path.is_file() else None
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def _send_cgi(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            env = {
                **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=env, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            lines = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(lines.pop("Status", "200").split()[0]))
            for name, value in lines.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
