"""Runs as their users see them: submit, watch, list, log, stop, configure, share."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from tests.fakes.git_host import commit, make_repository
from tests.harness.apps import DIGITS, INLINE, TINY, config, digest_in, quick
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import apps_among, descendants, eventually
from tests.harness.toolset import OURS


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.long
@pytest.mark.row("S2", "S3")
def test_link_and_node_serve_many_runs_without_growing(running: Federation) -> None:
    """Scaled: FLWR_TEST_RUNS=50 is the full-strength form."""
    count = int(os.environ.get("FLWR_TEST_RUNS", "6"))
    assert running.superlink is not None
    daemons = [running.superlink, *running.nodes]
    settled: list[int] = []
    for number in range(count):
        run = running.await_end(running.submit(TINY, *quick(marker=f"n{number}")))
        assert run["status"] == "finished:completed"
        if number == count // 2:
            settled = [rss_bytes(d.pid) for d in daemons]

    grown = [rss_bytes(d.pid) / before for d, before in zip(daemons, settled, strict=True)]
    assert all(d.is_alive for d in daemons)
    assert max(grown) < 1.10, f"resident memory grew: {grown}"


@pytest.mark.row("S21", "S77")
def test_context_counts_on_and_globals_do_not(running: Federation) -> None:
    run = running.await_end(running.submit(TINY, *config(num_rounds=3)))

    log = running.log_of(run["run-id"])
    seen = re.findall(r"'calls': ([\d.]+).*|'rounds-seen': ([\d.]+)", log)
    assert "rounds-seen: 3.0 calls: 1.0" in log, seen


@pytest.mark.row("S39")
def test_a_run_for_one_node_leaves_the_other_alone(running: Federation) -> None:
    run = running.await_end(running.submit(TINY, *config(only=0)))

    log = running.log_of(run["run-id"])
    assert re.findall(r"counter: (\d)", log) == ["1", "2", "3"]
    involved = [run["run-id"] in node.output for node in running.nodes]
    assert sorted(involved) == [False, True], "the other took in nothing and started nothing"


@pytest.mark.row("S40")
def test_markers_of_one_run_never_show_in_another(running: Federation) -> None:
    first = running.await_end(running.submit(TINY, *quick(marker="AAA-MARK")))
    second = running.await_end(running.submit(TINY, *quick(marker="BBB-MARK")))

    logs = {run["run-id"]: running.log_of(run["run-id"]) for run in (first, second)}
    assert "AAA-MARK" in logs[first["run-id"]]
    assert "AAA-MARK" not in logs[second["run-id"]]
    assert "BBB-MARK" not in logs[first["run-id"]]
    assert "AAA-MARK" not in json.dumps(running.run_status(second["run-id"]))
    eventually(lambda: files_of(running, second["run-id"]), timeout=30)  # what the apps print
    assert not any(b"AAA-MARK" in file.read_bytes() for file in files_of(running, second["run-id"]))


def files_of(federation: Federation, run_id: str) -> list[Path]:
    """Return the files named after a run; walk() looks over what goes away meanwhile."""
    found = [Path(top, name) for top, _, names in os.walk(federation.root) for name in names]
    return [file for file in found if run_id in file.name]


@pytest.mark.row("S44")
def test_building_twice_gives_the_same_bundle_and_lists_what_it_kept(
    running: Federation, tmp_path: Path
) -> None:
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        said = running.flwr("build", "--app", str(TINY), cwd=folder).stdout
        (fab,) = folder.glob("*.fab")
        digests.append(hashlib.sha256(fab.read_bytes()).hexdigest())
        assert "server_app.py" in said
    assert digests[0] == digests[1]
    with zipfile.ZipFile(fab) as bundle:
        assert bundle.namelist()[0] == "pyproject.toml"
        assert bundle.namelist()[-1] == ".info/CONTENT"


@pytest.mark.skipif(not shutil.which("git"), reason="no git program")
@pytest.mark.row("S45")
def test_an_app_from_git_runs_and_a_moved_tag_leaves_its_run_alone(
    running: Federation, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "repo")
    shutil.copytree(
        TINY, repository / "apps" / "tiny", ignore=shutil.ignore_patterns("__pycache__")
    )
    first = commit(repository, {"README.md": "one"}, tag="v1")
    reference = f"git+file://{repository}@v1#subdirectory=apps/tiny"

    stored = running.flwr_json("run", reference, CONNECTION, *quick(marker="from git"))
    second = commit(repository, {"apps/tiny/tiny/server_app.py": "app = None\n"}, tag="v1")
    later = running.flwr_json("run", reference, CONNECTION, *quick())

    run = running.await_end(stored["run-id"])
    assert run["status"] == "finished:completed"
    assert "marker: from git" in running.log_of(run["run-id"])
    assert run["origin"] == {"commit": first, "url": "", "subdirectory": "apps/tiny"}
    assert first in running.flwr("ls", CONNECTION, "--run-id", run["run-id"]).stdout
    assert running.run_status(later["run-id"])["origin"]["commit"] == second
    assert running.await_end(later["run-id"])["status"] == "finished:failed"


@pytest.mark.row("S46", "S49")
def test_two_files_run_without_a_project_on_the_federation_there_is(running: Federation) -> None:
    said = config(question="total", factor=10)
    started = running.flwr_json("run", CONNECTION, *INLINE, *said)

    run = running.await_end(started["run-id"])
    assert run["status"] == "finished:completed"
    assert "total: 30 from 2" in running.log_of(run["run-id"])
    assert (run["fab-id"], run["federation"]) == ("inline/hub-node", "@none/default")


@pytest.mark.row("S48")
def test_overrides_are_seen_and_unknown_keys_are_refused(running: Federation) -> None:
    run = running.await_end(running.submit(TINY, *quick(marker="seen by the app")))
    assert "marker: seen by the app" in running.log_of(run["run-id"])

    done = running.flwr("run", str(TINY), CONNECTION, "--run-config", "rounds=1", check=False)
    assert done.returncode != 0
    assert "rounds" in done.stderr + done.stdout
    assert "num-rounds" in done.stderr + done.stdout


@pytest.mark.row("S56")
def test_submitting_is_quick_and_the_same_key_is_the_same_run(running: Federation) -> None:
    waits = config(fail="server-waits")
    first = running.submit(TINY, *waits, "--submit-key", "job-17")
    second = running.submit(TINY, *waits, "--submit-key", "job-17")
    other = running.submit(TINY, *quick(), "--submit-key", "job-18")

    assert first == second
    assert other != first
    assert not running.run_status(first)["status"].startswith("finished"), "nobody waited for it"
    running.flwr("stop", first, CONNECTION)
    assert running.await_end(other)["status"] == "finished:completed"


@pytest.mark.row("S57")
def test_waiting_follows_the_run_to_its_end(running: Federation) -> None:
    good = running.flwr("run", str(TINY), CONNECTION, "--wait", *quick(), check=False)
    bad = running.flwr(
        "run", str(TINY), CONNECTION, "--wait", *config(fail="server-raises"), check=False
    )

    assert good.returncode == 0, good.stderr
    assert bad.returncode == 6
    assert "server boom" in bad.stdout + bad.stderr


@pytest.mark.row("S58")
def test_endpoint_and_certificate_as_flags_need_no_config_file(running: Federation) -> None:
    trust = ["--root-certificates", str(running.ca)]
    done = subprocess.run(
        [OURS.program("flwr"), "ls", "--superlink", running.control, *trust, "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "FLWR_HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["success"] is True


@pytest.mark.row("S60")
def test_every_state_is_seen_in_order(federation: Federation) -> None:
    federation.start_superlink()
    run_id = federation.submit(TINY, *quick())
    seen = [federation.run_status(run_id)["status"]]
    federation.start_node(1)
    federation.start_node(2)

    def is_over() -> bool:
        status = federation.run_status(run_id)["status"]
        if status != seen[-1]:
            seen.append(status)
        return str(status).startswith("finished")

    eventually(is_over, timeout=120)
    order = ["pending", "starting", "running", "finished:completed"]
    assert [s for s in order if s in seen] == seen
    assert seen[-1] == "finished:completed"
    final = federation.run_status(run_id)
    stamps = [final[k] for k in ("pending-at", "starting-at", "running-at", "finished-at")]
    assert "N/A" not in stamps
    assert stamps == sorted(stamps)


@pytest.mark.row("S61")
def test_runs_are_listed_newest_first_and_limited(running: Federation) -> None:
    ids = [running.submit(TINY, *quick(marker=f"l{i}")) for i in range(3)]
    for run_id in ids:
        running.await_end(run_id)

    listed = running.runs()
    assert [r["run-id"] for r in listed[:3]] == ids[::-1]
    assert len(running.flwr_json("ls", CONNECTION, "--limit", "2")["runs"]) == 2
    for run in listed:
        assert set(run) >= {
            "run-id", "federation", "fab-id", "fab-name", "fab-version", "fab-hash", "status",
            "elapsed", "pending-at", "starting-at", "running-at", "finished-at",
            "network-traffic", "compute-time",
        }  # fmt: skip
    table = running.flwr("ls", CONNECTION).stdout
    assert ids[0] in table
    assert "finished:completed" in table


@pytest.mark.row("S63")
def test_stopping_ends_every_process_of_the_run_and_no_other(running: Federation) -> None:
    assert running.superlink is not None
    doomed = running.submit(TINY, *config(num_rounds=50, pause=30.0, marker="doomed"))
    spared = running.submit(TINY, *config(num_rounds=2, pause=1.0, marker="spared"))
    everywhere = [running.superlink, *running.nodes]

    def apps() -> int:
        return len(apps_among(p for d in everywhere for p in descendants(d.pid)))

    running.await_log(doomed, "[ROUND 1/50]")
    eventually(lambda: apps() >= 3, timeout=60, step=0.2)

    running.flwr("stop", doomed, CONNECTION)

    assert running.run_status(doomed)["status"] == "finished:stopped"
    assert running.await_end(spared)["status"] == "finished:completed"
    eventually(lambda: apps() == 0, timeout=60, step=0.2)


@pytest.mark.row("S63")
def test_a_run_is_stopped_before_it_starts(federation: Federation) -> None:
    federation.start_superlink(OURS, "--isolation", "process", "--appio-insecure")
    run_id = federation.submit(TINY)

    federation.flwr("stop", run_id, CONNECTION)

    assert federation.run_status(run_id)["status"] == "finished:stopped"
    again = federation.flwr("stop", run_id, CONNECTION, check=False)
    assert again.returncode == 6


@pytest.mark.row("S62")
def test_following_a_log_survives_a_restart_without_gap_or_repeat(federation: Federation) -> None:
    superlink = federation.start_superlink()
    federation.start_node(1)
    federation.start_node(2)
    federation.await_nodes(2)
    run_id = federation.submit(TINY, *config(num_rounds=5, pause=0.5, evaluate=False))
    where = ["--superlink", federation.control, "--insecure"]
    follower = federation.start("follower", OURS, "flwr", "log", run_id, *where)
    eventually(lambda: "[ROUND 2/5]" in follower.output, timeout=60)

    superlink.kill()
    time.sleep(1)
    federation.start_superlink(name="superlink-again")

    assert follower.wait(120) == 0, follower.output
    rounds = re.findall(r"\[ROUND (\d)/5\]", follower.output)
    assert rounds == ["1", "2", "3", "4", "5"]
    digest_in(follower.output)


@pytest.mark.row("S62")
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "private"])
def test_a_sites_policy_decides_whether_its_apps_logs_are_seen(
    federation: Federation, shared: bool
) -> None:
    federation.start_superlink()
    policy = ["--share-app-logs"] if shared else []
    for number in (1, 2):
        federation.start_node(number, OURS, *policy)
    federation.await_nodes(2)

    run = federation.await_end(federation.submit(TINY, *quick()))

    if shared:
        eventually(
            lambda: "client log: partition 0 round 1" in federation.log_of(run["run-id"]),
            timeout=60,
            step=0.3,
        )
    assert ("client log" in federation.log_of(run["run-id"])) is shared


@pytest.mark.row("S47")
def test_a_node_that_joins_in_mid_run_gets_the_code_and_is_sampled(
    federation: Federation,
) -> None:
    federation.start_superlink()
    federation.start_node(1)
    federation.await_nodes(1)
    run_id = federation.submit(TINY, *quick())
    eventually(lambda: federation.run_status(run_id)["status"] == "running", timeout=90, step=0.2)

    federation.start_node(2)

    run = federation.await_end(run_id)
    assert run["status"] == "finished:completed"
    assert "Received 2 results and 0 failures" in federation.log_of(run_id)


@pytest.mark.long
@pytest.mark.row("S38")
def test_two_different_apps_share_the_federation_at_the_same_time(running: Federation) -> None:
    tiny = running.submit(TINY, *config(num_rounds=8, pause=1.0))
    digits = running.submit(DIGITS)

    ends = [running.await_end(run_id, timeout=180) for run_id in (tiny, digits)]

    assert [run["status"] for run in ends] == ["finished:completed"] * 2
    assert max(r["running-at"] for r in ends) < min(r["finished-at"] for r in ends)


@pytest.mark.long
@pytest.mark.row("S19", "S20")
def test_code_is_fetched_once_and_the_serverapps_calls_come_in_order(
    federation: Federation,
) -> None:
    superlink = federation.start_superlink(OURS, "--log-level", "DEBUG")
    federation.start_node(1)
    federation.start_node(2)
    federation.await_nodes(2)
    for _ in range(2):
        run = federation.await_end(federation.submit(TINY, *config(num_rounds=2)))
        assert run["status"] == "finished:completed"

    calls = re.findall(r'"method": "/flwr\.proto\.(\w+/\w+)"', superlink.output)
    assert calls.count("Fleet/GetRun") == 4, "once per run and node"
    assert calls.count("Fleet/GetFab") == 2, "once per node: the second run has the same bundle"
    order = ["PullAppInputs", "PushMessages", "PushAppOutputs", "UpdateRunStatus"]
    first = [calls.index(f"ServerAppIo/{name}") for name in order]
    assert first == sorted(first)
