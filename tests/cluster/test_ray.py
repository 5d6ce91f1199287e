"""Worlds and experiments on Ray: they survive a killed process, host or coordinator, with unchanged results."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
from pyarrow import parquet
from simulation import run_undisturbed
from small_runs import TEXT

from umwelt.agents.world_file import read_world
from umwelt.client.commands.experiment import run_experiment
from umwelt.cluster.launch.local import Plan
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.store import Store
from umwelt.sandbox.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "worlds" / "golden.toml"
LAST_TICK = 240
EXPERIMENT = """\
world = "pond"
ticks = 400
seeds = [5, 6, 7]
every = 50
measures = ["populations", "elements"]
[set]
width = 48
height = 48
"""
MAX_S = 240.0
"""The time limit of a trial in seconds; it takes about a minute on two busy cores."""


@cache
def why_not() -> str:
    """Returns why no Ray cluster can be started on this machine, or "" if one can."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: pip install -e '.[ray]'"
    if not sys.platform.startswith("linux"):
        return "network namespaces are of Linux"
    missing = [name for name in ("unshare", "ip") if shutil.which(name) is None]
    if missing:
        return f"the command {missing[0]} is missing"
    tried = subprocess.run([*ALONE, "ip link set lo up"], capture_output=True, text=True, timeout=20, check=False)
    return f"no namespaces can be made here: {tried.stderr.strip()}" if tried.returncode else ""


# Ray opens ports to the whole network. In this network namespace there is only loopback; and when the first process of
# the process namespace ends, the kernel kills all others
ALONE = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]


def alone_with_ray(*command: str) -> str:
    """Runs a command in namespaces of its own, with only the loopback interface; returns its output."""
    if why_not():
        pytest.skip(why_not())
    begin = 'ip link set lo up && exec "$0" "$@"'
    # the length of a socket's path is limited
    with tempfile.TemporaryDirectory(prefix="ur-", ignore_cleanup_errors=True) as short:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": short}
        done = subprocess.run(
            [*ALONE, begin, sys.executable, *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=MAX_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_a_world_on_ray_survives_killed_processes_and_hosts(tmp_path):
    # this also compiles the kernels, which the trial then only loads
    expected, _ = run_undisturbed(read_world(str(GOLDEN), {}), LAST_TICK, [])
    run = tmp_path / "golden-1"
    trial = Path(__file__).with_name("ray_trial.py")
    said = alone_with_ray(str(trial), str(run), str(GOLDEN), str(LAST_TICK))
    seen = json.loads(said.splitlines()[-1])
    print(seen)
    assert seen["hosts"] == 3, "nodes are spread"
    assert seen["rests"] and seen["tick"] == LAST_TICK and seen["same_address"]
    for died in ("node-", "coordinator "):
        assert any(line.startswith(died) for line in seen["said"])

    journal = Journal.reading(Store.open(run).journal)
    try:
        journalled, done_by_people = journal.history.digests(), list(journal.history.commands())
    finally:
        journal.close()
    assert not done_by_people and max(journalled) == LAST_TICK and len(journalled) > LAST_TICK / 16
    assert {tick: expected[tick] for tick in journalled} == journalled


@pytest.mark.slow
def test_an_experiment_on_ray_has_the_local_results_although_a_worker_dies(tmp_path):
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    there, here = (tmp_path / "there", tmp_path / "here")
    trial = Path(__file__).with_name("ray_jobs_trial.py")
    said = json.loads(alone_with_ray(str(trial), str(tmp_path / "mine.toml"), str(there)).splitlines()[-1])
    assert said["killed"]
    assert run_experiment(str(tmp_path / "mine.toml"), False, here, "local", 2, False) == 0
    found = sorted(path.name for path in (here / "runs").iterdir())
    assert found == ["0-5.parquet", "0-6.parquet", "0-7.parquet"]
    for name in found:
        mine, theirs = (parquet.read_table(folder / "runs" / name) for folder in (here, there))
        assert mine.equals(theirs) and mine.schema.metadata == theirs.schema.metadata


def test_without_ray_there_is_one_line(tmp_path, monkeypatch):
    from umwelt.cluster.ray.engine import RayEngine

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"^--engine ray: Ray is not installed: pip install 'umwelt\[ray\]'$"):
        RayEngine(Store.create("small", TEXT, tmp_path / "run"), Plan(nodes=2))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[ray]'")
@pytest.mark.parametrize(
    ("address", "said"),
    [("ray://10.0.0.1:10001", "must be on a host of the cluster"), ("127.0.0.1:9", "127.0.0.1:9 does not answer: ")],
)
def test_a_cluster_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, address, said):
    from umwelt.cluster.ray.engine import RayEngine

    monkeypatch.setenv("RAY_ADDRESS", address)
    engine = RayEngine(Store.create("small", TEXT, tmp_path / "run"), Plan(nodes=2))
    try:
        with pytest.raises(RunError, match=said) as refused:
            engine.start()
        assert "\n" not in str(refused.value)
    finally:
        engine.close()
