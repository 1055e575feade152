"""The command line in its container, where the connection is part of the project."""

import subprocess
import sys
from pathlib import Path

import pytest
from python_on_whales import DockerException

from tests.compose.deployment import Deployment
from tests.harness.toolset import ROOT


@pytest.mark.row("S29")
def test_the_wrong_authority_is_named(deployment: Deployment, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "certs" / "pki.py"), "all", "--out", str(tmp_path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    other = (str(tmp_path / "user"), "/run/secrets", "ro")

    with pytest.raises(DockerException) as refused:
        deployment.project.run("cli", "ls", volumes=[other])

    assert refused.value.return_code == 3
    assert "was not issued by the given authority" in str(refused.value)
    assert "--root-certificates" in str(refused.value)


@pytest.mark.row("S31")
def test_clear_text_is_refused_with_the_remedy(deployment: Deployment) -> None:
    with pytest.raises(DockerException) as refused:
        deployment.cli("ls", "--superlink", "control:9093", "--insecure")

    assert refused.value.return_code == 3
    assert "speaks TLS" in str(refused.value)
    assert "drop --insecure" in str(refused.value)
