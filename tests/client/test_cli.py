"""The command `umwelt`: its output and files, Ctrl-C, and its imports."""

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyarrow import parquet
from rich.console import Console
from small_runs import TEXT, small_run, small_world

from umwelt.agents.open_world import torus_of
from umwelt.client.commands import dashboard
from umwelt.client.commands.cli import main
from umwelt.client.commands.running import find_newest
from umwelt.cluster.process import read_announcement
from umwelt.cluster.run.journal import Journal
from umwelt.cluster.run.replay import restore_region, verify
from umwelt.cluster.run.store import Store

WANTED = {
    "tick",
    "digest",
    "plants",
    "monsters",
    "births",
    "deaths",
    "elements",
    "substances",
    "populations",
    "ticks_per_s",
    "entity_ticks_per_s",
    "nodes",
    "epochs",
    "run",
}
SAME = ("tick", "digest", "plants", "monsters", "births", "deaths", "elements", "substances", "populations")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(TEXT)


def umwelt(capsys, *arguments: str, code: int = 0) -> str:
    """Runs a command, checks its exit code, and returns its standard output."""
    try:
        main(list(arguments))
    except SystemExit as ended:
        assert (ended.code or 0) == code, capsys.readouterr().err
    return capsys.readouterr().out


def outcome(capsys, *arguments: str) -> dict:
    """Runs a command with `--json`; returns the object in the last line of its output."""
    return json.loads(umwelt(capsys, *arguments, "--json", "--no-view").strip().splitlines()[-1])


@pytest.mark.slow
def test_a_launch_prints_one_json_object_and_a_resumed_run_has_the_same_result(capsys):
    straight = outcome(capsys, "launch", "mine.toml", "--ticks", "24", "--nodes", "2")
    assert straight.keys() == WANTED
    assert straight["tick"] == 24 and re.fullmatch("[0-9a-f]{16}", straight["digest"]) and straight["nodes"] == 2
    assert straight["plants"] > 100 and straight["monsters"] > 10
    assert straight["entity_ticks_per_s"] > straight["ticks_per_s"] > 0
    assert outcome(capsys, "launch", "mine.toml", "--ticks", "12", "--nodes", "1")["epochs"] == 1
    resumed = outcome(capsys, "resume", "runs/mine-2", "--ticks", "12", "--nodes", "2")
    assert {key: resumed[key] for key in SAME} == {key: straight[key] for key in SAME}
    assert resumed["run"] == "runs/mine-2" and straight["run"] == "runs/mine-1" and resumed["epochs"] > 1
    elements_stay_and_tables_hold_what_was_journalled(capsys, straight)
    history_can_be_verified_and_forked(capsys)


def elements_stay_and_tables_hold_what_was_journalled(capsys, straight: dict) -> None:
    assert set(straight["elements"]) == {"C", "H", "N", "O"}
    zero = outcome(capsys, "resume", str(small_run(Path("zero")).folder), "--ticks", "0")
    assert zero["elements"] == straight["elements"] and zero["digest"] != straight["digest"] and zero["tick"] == 0
    umwelt(capsys, "export", "runs/mine-1", "--to", "out")
    populations = parquet.read_table("out/populations.parquet").to_pylist()
    assert {row["species"] for row in populations} == {"grass", "reed", "grazer", "hunter"}
    assert {row["tick"] for row in populations} == {0, 8, 16, 24}
    matter = parquet.read_table("out/matter.parquet").to_pylist()
    journal = Journal.reading(Path("runs/mine-1/journal.sqlite"))
    assert [row["count"] for row in matter if row["substance"] == "water"] == [
        m.substances["water"] for m in journal.history.metrics()
    ]
    journal.close()
    births = parquet.read_table("out/births.parquet").to_pylist()
    assert len(births) > 0 and all(0 < row["tick"] <= 24 and len(row["genome"]) > 0 for row in births)


def history_can_be_verified_and_forked(capsys) -> None:
    assert "the same, bit for bit, on 2 nodes up to tick 24" in umwelt(capsys, "verify", "runs/mine-2", "--nodes", "2")
    assert "go on with: umwelt resume there" in umwelt(capsys, "fork", "runs/mine-2", "--tick", "13", "--to", "there")
    found = json.loads(umwelt(capsys, "verify", "there", "--json"))
    assert found["same"] and found["last_tick"] == 13 and found["compared"] >= 3 and found["snapshots"] >= 3


def said_of_another_digest(capsys, store: Store) -> str:
    """Changes the digest in the manifest of tick 16, runs `umwelt verify`, and returns standard error."""
    path = store.path(16) / "manifest.json"
    path.write_text(path.read_text().replace(f"{find_newest(store)[1]:016x}", "0123456789abcdef"))
    with pytest.raises(SystemExit) as ended:
        main(["verify", "r", "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 1 and json.loads(said.out)["first_difference"] == 16
    return said.err


def test_verify_names_the_snapshot_whose_digest_was_changed(capsys):
    said = said_of_another_digest(capsys, small_run(Path("r"), 8, 16))
    place = "snapshots/tick-000000000016/manifest.json"
    assert said.startswith(f"umwelt: r: {place}: is not what was saved: ") and said.count("\n") == 1


def test_a_journal_whose_hash_chain_was_taken_out_is_refused(capsys):
    store = small_run(Path("r"), 8, 16)
    database = sqlite3.connect(store.journal)
    with database:
        for table in ("links", "items", "heads"):
            database.execute(f"DROP TABLE {table}")
    database.close()
    with pytest.raises(SystemExit) as ended:
        main(["verify", "r"])
    line = capsys.readouterr().err
    assert ended.value.code == 2 and line.startswith("umwelt: ") and "journal.sqlite: " in line
    assert len(line.splitlines()) == 1


def test_seed_and_set_change_the_world_and_are_frozen_with_it_and_species_can_be_checked(capsys):
    other = outcome(
        capsys,
        "launch",
        "mine.toml",
        "--ticks",
        "2",
        "--seed",
        "9",
        "--set",
        "founders.2.count=7",
        "--run",
        "r",
        "--check",
    )
    assert other["tick"] == 2
    frozen = tomllib.loads(Path("r/world.toml").read_text())
    assert frozen["seed"] == 9 and frozen["founders"][2]["count"] == 7
    assert other["populations"]["monsters"]["grazer"] == 7
    assert find_newest(Store.open(Path("r")))[1] != find_newest(small_run(Path("plain"), 2))[1]


def test_worlds_of_other_laws_run_show_and_export_too(capsys):
    found = outcome(capsys, "launch", "wolf_sheep", "--ticks", "5", "--run", "ws")
    assert found["plants"] == 0 and found["elements"] == {} and found["populations"]["sheep"]["sheep"] > 100
    umwelt(capsys, "picture", "ws", "ws.png", "--size", "64x64")
    umwelt(capsys, "export", "ws", "--to", "out")
    assert parquet.read_table("out/matter.parquet").num_rows == 0


def test_new_writes_a_world_that_passes_check(capsys):
    umwelt(capsys, "new", "heath", "--to", "there.toml")
    lines = [line for line in Path("there.toml").read_text().splitlines() if line and not line.startswith("#")]
    assert [line.split()[0] for line in lines[:3]] == ["width", "height", "seed"]
    sections = [line for line in lines if line.startswith("[")]
    assert sections.index("[climate]") < sections.index("[chemistry]") < sections.index("[[founders]]")
    assert "there.toml: fine: 128 × 128 cells" in umwelt(capsys, "check", "there.toml")


def test_commented_lines_of_a_new_world_file_are_valid(capsys):
    umwelt(capsys, "new", "heath")
    text = Path("heath.toml").read_text()
    shown = re.sub(r"(?m)^# (?=[a-z]+ = |\[\[)", "", text)
    shown = re.sub(r"(?m)^(behaviour|genomes) = .*$", "", shown)  # need other modules or exclude other keys
    Path("shown.toml").write_text(shown)
    assert "shown.toml: fine" in umwelt(capsys, "check", "shown.toml")


def test_worlds_are_listed_with_a_line_each(capsys):
    listed = umwelt(capsys, "worlds")
    assert all(name in listed for name in ("golden", "market", "meadow", "wolf_sheep"))


# --- worlds that run


def started(*more: str) -> subprocess.Popen:
    """Starts `umwelt launch mine.toml` in another process."""
    return subprocess.Popen(
        [sys.executable, "-m", "umwelt.client.commands.cli", "launch", "mine.toml", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def running(*more: str) -> Iterator[subprocess.Popen]:
    """Runs `umwelt launch mine.toml` in another process, which has its gateway; kills it at the end."""
    process, end_s = started(*more), time.monotonic() + 180
    try:
        while read_announcement(Path("runs/mine-1/gateway.json")) is None:
            assert process.poll() is None and time.monotonic() < end_s, process.communicate(timeout=5)
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def gone(pid: int, within_s: float = 40) -> bool:
    """Waits until a process has ended; returns whether it has."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_running_world_reports_its_status_accepts_nodes_and_commands_and_stops(capsys):
    with running("--nodes", "1") as process:
        end_s = time.monotonic() + 180
        while not (found := json.loads(umwelt(capsys, "status", "--json")))["tick"]:
            assert time.monotonic() < end_s
        assert [node["name"] for node in found["nodes"]] == ["node-1"] and found["epoch"] == 1
        assert found["nodes"][0]["rectangle"] == [0, 0, 40, 48] and found["nodes"][0]["resident_bytes"] > 10_000_000
        with pytest.raises(SystemExit):
            main(["resume", "runs/mine-1"])
        assert "is running already" in capsys.readouterr().err
        guest = subprocess.Popen(
            [sys.executable, "-m", "umwelt.client.commands.cli", "join", "runs/mine-1", "--name", "guest"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            lines = iter(guest.stdout.readline, "")
            assert any(line.startswith("guest: holds ") for line in lines)
            assert "guest" in umwelt(capsys, "status", "runs/mine-1")
            assert re.match(r"500 sugar into the cell 4,3 at tick \d", umwelt(capsys, "drop", "500", "sugar", "4,3"))
            with pytest.raises(SystemExit):
                main(["drop", "5", "suger", "4,3"])
            assert 'did you mean "sugar"?' in capsys.readouterr().err
            assert "node-1 left at tick" in umwelt(capsys, "leave", "node-1", "--at", "runs/mine-1")
            with pytest.raises(SystemExit):
                main(["leave", "node-1"])
            assert "node-1: no node of that name: there are guest" in capsys.readouterr().err
            assert "go on with: umwelt resume runs/mine-1" in umwelt(capsys, "stop")
            assert guest.wait(120) == 0
        finally:
            guest.kill()
            guest.wait()
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0 and "guest joined" in said and "node-1 left" in said
    assert verify(Path("runs/mine-1")).first_difference is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_ctrl_c_saves_the_world_and_prints_how_to_resume(number):
    with running() as process:
        time.sleep(1.0)
        process.send_signal(number)
        out = process.communicate(timeout=120)[0]
    assert process.returncode == 0, out
    assert "saving the world" in out and "go on with: umwelt resume runs/mine-1" in out
    tick = int(re.search(r"saved at tick ([\d,]+)", out)[1].replace(",", ""))
    store = Store.open(Path("runs/mine-1"))
    assert restore_region(store)[1].tick == find_newest(store)[0].tick == tick == store.ticks()[-1]


@pytest.mark.slow
def test_a_second_ctrl_c_exits_at_once_and_the_run_can_be_resumed(capsys):
    with running("--nodes", "2") as process:
        pids = [read_announcement(Path("runs/mine-1/coordinator.json"))["pid"]]
        os.kill(pids[0], signal.SIGSTOP)  # so that the world cannot be saved
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=120)[0]
    assert process.returncode == 130 and out.endswith("umwelt: stopped at once; what was saved before is complete\n")
    assert gone(pids[0])
    assert outcome(capsys, "resume", "runs/mine-1", "--ticks", "3")["tick"] >= 3


@pytest.mark.slow
def test_a_killed_launch_is_resumed_with_the_same_history(capsys):
    with running("--nodes", "2") as process:
        time.sleep(1.0)
        process.kill()
        process.wait()
    reached = find_newest(Store.open(Path("runs/mine-1")))[0].tick
    found = outcome(capsys, "resume", "runs/mine-1", "--ticks", "16")
    assert found["tick"] >= reached
    assert verify(Path("runs/mine-1")).first_difference is None


# --- what is imported


def modules_after(script: str) -> set[str]:
    """Returns the names of the modules that are loaded after a script has run."""
    printed = subprocess.check_output([sys.executable, "-c", f"{script}\nimport sys; print(*sys.modules)"], text=True)
    return set(printed.split("\n")[-2].split())


def test_help_imports_nothing_that_is_slow():
    script = "from umwelt.client.commands.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not modules_after(script) & {"numba", "numpy", "mesa", "pandas", "pyarrow", "zarr", "PIL"}


def test_launch_imports_no_mesa_pandas_or_pyarrow():
    launched = "main(['launch', 'mine.toml', '--ticks', '1', '--no-view'])"
    script = f"from umwelt.client.commands.cli import main\ntry: {launched}\nexcept SystemExit: pass"
    assert not modules_after(script) & {"mesa", "pandas", "pyarrow", "PIL", "matplotlib"}


# --- the dashboard


def report(tick: int, nodes: int = 2, **other: object) -> dict:
    """Returns a status report of the small world, as a coordinator sends it."""
    metrics = find_newest(small_run(Path(f"told-{tick}"), tick))[0]
    told = {
        "tick": tick,
        "digest": "0" * 16,
        "births": metrics.births,
        "deaths": metrics.deaths,
        "populations": metrics.populations,
        "substances": metrics.substances,
    }
    carriers = [
        {
            "name": f"node-{n + 1}",
            "pid": 7,
            "host": "here",
            "rectangle": [0, 48 // nodes * n, 40, 48 // nodes],
            "tick": tick,
            "entities": 150 + n,
            "ticks_per_s": 350.4,
            "waiting_share": 0.125,
            "round_trip_s": 0.001,
            "resident_bytes": 200 << 20,
            "state": "ready",
        }
        for n in range(nodes)
    ]
    return {
        "world": "small",
        "run": "r",
        "phase": "running",
        "tick": tick,
        "granted": tick,
        "epoch": 1,
        "ticks_per_exchange": 1,
        "paused": False,
        "speed": 0.0,
        "snapshot_tick": 0,
        "nodes": carriers,
        "metrics": told,
        "events": [],
        **other,
    }


def screen(width: int, height: int, *reports: dict, **more: object) -> list[str]:
    """Returns the lines that the dashboard draws in a terminal of this size, after these reports."""
    console = Console(record=True, width=width, height=height, force_terminal=True, file=io.StringIO())
    world = small_world()
    assert torus_of(world) == (40, 48)
    board = dashboard.Dashboard(world, Path("runs/small-1"), find_newest(small_run(Path("begun")))[0], console, **more)
    for one in reports:
        board.show(one)
    console.print(board.layout(), height=height)
    return console.export_text().splitlines()[-height:]


@pytest.mark.parametrize("size", [(80, 24), (140, 45), (60, 18)])
def test_the_dashboard_fits_its_terminal_and_shows_the_world_and_its_nodes(size):
    lines = screen(*size, report(6))
    assert len(lines) <= size[1] and all(len(line) <= size[0] for line in lines)
    shown = "\n".join(lines)
    for text in ("tick 6", "ticks/s", "grass", "hunter", "births", "deaths", "▀▀▀▀", "Ctrl-C", "node-1", "350"):
        assert text in shown, text
    if size[1] >= 24:
        assert "water" in shown and "oxygen" in shown and "node-2" in shown and "12%" in shown
    if size[0] >= 120:
        assert "24 × 40 at 24,0" in shown and "200 MiB" in shown and "ready" in shown


def test_the_dashboard_shows_events_and_counts_nodes_that_do_not_fit():
    events = [{"tick": 5, "line": "node-1 died: back to tick 4, and on from there"}]
    shown = "\n".join(screen(100, 24, report(6, 8, events=events, paused=True)))
    assert "node-1 died: back to tick 4" in shown and "paused" in shown and "4 more" in shown


def test_without_a_terminal_lines_are_printed_and_each_event_once():
    out = io.StringIO()
    first, second = ({"tick": tick, "line": f"event {tick}"} for tick in (3, 5))
    with dashboard.StatusLines(find_newest(small_run(Path("begun")))[0], Console(file=out, width=200)) as lines:
        lines.show(report(4, events=[first]))
        lines.show(report(6, events=[first, second]), ["node-1 died (process 7); a new one is started"])
        lines.show(report(8, events=[second]))
        lines._printed_s = -1e9
        lines.show(report(9, events=[second]))
    said = out.getvalue().splitlines()
    assert said[:3] == ["event 3", "event 5", "node-1 died (process 7); a new one is started"]
    assert len(said) == 4 and said[3].startswith("tick 9  ") and said[3].endswith("nodes 2")


def test_numbers_and_sparklines_are_short():
    assert [dashboard.format_short(n) for n in (0, 7, 950, 1234, 45678, 123456, 7.25e6, 3e9)] == [
        "0",
        "7",
        "950",
        "1234",
        "45.7k",
        "123k",
        "7.25M",
        "3G",
    ]
    assert dashboard.sparkline([0, 1, 2, 4], 4) == "▁▂▄█"
    assert len(dashboard.sparkline(list(range(600)), 14)) == 14
    assert dashboard.sparkline([0, 0], 5) == "▁▁" and dashboard.sparkline([], 5) == ""
