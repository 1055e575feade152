import logging
import time
from pathlib import Path

import pytest

import flwr
from flwr.core.errors import ErrorKind
from flwr.sdk import CheckoutNotFoundError, ToolError, ToolTimeoutError, find_checkout
from flwr.sdk.checkout import Checkout, clean_environment
from flwr.sdk.images import build_app_images, build_images
from flwr.sdk.keys import make_server_keys, make_site_keys
from tests.harness.toolset import ROOT

MARKS = ("compose/server.yaml", "images/build.py", "certs/pki.py")


def checkout_at(root: Path, **tools: str) -> Path:
    """Make a folder that looks like a checkout, with these tools in place of its own."""
    for mark in MARKS:
        (root / mark).parent.mkdir(parents=True, exist_ok=True)
        (root / mark).touch()
    for name, code in tools.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return root


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where nothing is installed from sources."""
    monkeypatch.setattr(flwr, "__file__", str(tmp_path / "site-packages" / "flwr" / "__init__.py"))
    monkeypatch.delenv("FLWR_COMPOSE_HOME", raising=False)
    return tmp_path


def test_an_editable_install_finds_its_own_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLWR_COMPOSE_HOME", raising=False)
    assert find_checkout().root == ROOT


def test_the_argument_counts_more_than_the_variable_than_the_current_folder(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, named, given = (checkout_at(elsewhere / name) for name in ("here", "named", "given"))
    (here / "docs").mkdir()
    monkeypatch.chdir(here / "docs")

    assert find_checkout().root == here
    monkeypatch.setenv("FLWR_COMPOSE_HOME", str(named))
    assert find_checkout().root == named
    assert find_checkout(given).root == given


def test_without_a_checkout_the_remedy_is_told(elsewhere: Path) -> None:
    with pytest.raises(CheckoutNotFoundError) as missing:
        find_checkout()
    assert "FLWR_COMPOSE_HOME" in missing.value.hint


def test_a_folder_that_is_no_checkout_is_refused(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckoutNotFoundError, match=r"\(checkout=\).*has no compose/server.yaml"):
        find_checkout(elsewhere)
    monkeypatch.setenv("FLWR_COMPOSE_HOME", str(elsewhere))
    with pytest.raises(CheckoutNotFoundError, match=r"\(FLWR_COMPOSE_HOME\)"):
        find_checkout()


def test_a_tool_s_progress_is_logged_and_its_result_returned(
    elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = checkout_at(elsewhere, tool="import sys; print('done'); sys.stderr.write('step 1\\n')")
    with caplog.at_level(logging.INFO, "flwr.sdk"):
        assert Checkout(root).run("tool.py", timeout=20) == "done\n"
    assert caplog.messages == ["step 1"]


@pytest.mark.parametrize(
    ("said", "code", "message", "hint", "kind"),
    [
        (
            "error: no engine answers\n  next: run: engine.py up\n",
            3,
            "no engine answers",
            "run: engine.py up",
            ErrorKind.UNAVAILABLE,
        ),
        (
            "step 1\npki.py: error: bad name\n  what to do: another\n",
            2,
            "bad name",
            "another",
            ErrorKind.INVALID,
        ),
        ("Traceback: boom\n", 1, "tool.py exited with 1: Traceback: boom", "", ErrorKind.INTERNAL),
    ],
)
def test_a_tool_s_failure_is_told_in_its_own_words(
    elsewhere: Path, said: str, code: int, message: str, hint: str, kind: ErrorKind
) -> None:
    root = checkout_at(elsewhere, tool=f"import sys; sys.stderr.write({said!r}); sys.exit({code})")
    with pytest.raises(ToolError) as failed:
        Checkout(root).run("tool.py", timeout=20)
    found = failed.value
    assert (found.message.strip(), found.hint, found.kind) == (message, hint, kind)


def test_a_tool_that_takes_too_long_is_ended_with_all_it_started(elsewhere: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "child.wait()\n"
    )
    root, began = checkout_at(elsewhere, tool=code), time.monotonic()
    with pytest.raises(ToolTimeoutError, match=r"tool.py has not ended within 0.3 s"):
        Checkout(root).run("tool.py", timeout=0.3)
    assert time.monotonic() - began < 20  # the child holds standard output open until it is ended


def test_settings_of_the_shell_do_not_count() -> None:
    env = {"PATH": "/bin", "FLWR_FLEET_PORT": "1", "COMPOSE_FILE": "x", "DOCKER_HOST": "unix://"}
    assert clean_environment(env) == {"PATH": "/bin", "DOCKER_HOST": "unix://"}


ECHO = "import json, sys; print(json.dumps({names}))"


@pytest.mark.row("S50", "S51", "S59")
def test_app_images_are_built_by_the_checkout_s_tool(elsewhere: Path) -> None:
    names = "dict(serverapp=' '.join(sys.argv[2:]), clientapp=sys.argv[1])"
    root = checkout_at(elsewhere, images__app_image=ECHO.replace("{names}", names))

    built = build_app_images(
        "app", requirements=["humanize==4.12.3"], debian_packages=["hello"], checkout=root
    )

    assert built.clientapp == str(elsewhere / "app")
    assert built.serverapp == (
        "--requirement=humanize==4.12.3 --debian-package=hello --format json"
    )


def test_images_are_named_by_role(elsewhere: Path) -> None:
    made = "[dict(role=r, image=f'x/{r}:1') for r in sys.argv[1:-2]]"
    root = checkout_at(elsewhere, images__build=ECHO.replace("{names}", made))
    assert build_images("superlink", checkout=root) == {"superlink": "x/superlink:1"}


@pytest.mark.slow
def test_keys_of_server_and_site_fit_each_other(tmp_path: Path) -> None:
    keys = make_server_keys(tmp_path / "hub", hosts=["hub.example"], checkout=ROOT)
    site = make_site_keys(
        tmp_path / "site",
        name="hospital-a",
        root_certificates=keys.root_certificates,
        checkout=ROOT,
    )

    assert keys.root_certificates.read_bytes().startswith(b"-----BEGIN CERTIFICATE")
    assert site.public_key.startswith("ecdsa-sha2-")
    assert site.fingerprint.startswith("SHA256:")
    assert (site.folder / "supernode-1" / "node.key").is_file()


def test_a_wrong_certificate_is_told_by_the_pki_itself(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("none")
    with pytest.raises(ToolError, match=r"ca.crt"):
        make_site_keys(
            tmp_path / "site", name="a", root_certificates=tmp_path / "ca.crt", checkout=ROOT
        )
