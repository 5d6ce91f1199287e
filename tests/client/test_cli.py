"""The command: what it prints and writes, Ctrl-C, and that it starts fast."""

import io
import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from pyarrow import parquet
from rich.console import Console
from small import TEXT, small_run

from umwelt.client import dashboard
from umwelt.client.cli import main
from umwelt.cluster.engine import Run
from umwelt.cluster.journal import Journal

WANTED = {
    "tick", "digest", "plants", "monsters", "births", "deaths", "elements", "ticks_per_s", "entity_ticks_per_s",
    "entity_ticks_per_cpu_s",
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(TEXT)


def umwelt(capsys, *arguments: str) -> str:
    """What a command prints, if it ends well."""
    try:
        main(list(arguments))
    except SystemExit as ended:
        assert not ended.code, capsys.readouterr().err
    return capsys.readouterr().out


def outcome(capsys, *arguments: str) -> dict:
    return json.loads(umwelt(capsys, *arguments, "--json", "--no-view").strip().splitlines()[-1])


def test_launch_ends_with_one_json_object(capsys):
    found = outcome(capsys, "launch", "mine.toml", "--ticks", "20")
    assert found.keys() >= WANTED
    assert found["tick"] == 20 and re.fullmatch("[0-9a-f]{16}", found["digest"])
    assert found["plants"] > 100 and found["monsters"] > 10
    assert set(found["elements"]) == {"C", "H", "N", "O"}
    assert found["entity_ticks_per_s"] > found["ticks_per_s"] > 0


def test_resume_goes_on_to_where_one_launch_would_have_come(capsys):
    outcome(capsys, "launch", "mine.toml", "--ticks", "12")
    resumed = outcome(capsys, "resume", "runs/mine-1", "--ticks", "8")
    straight = outcome(capsys, "launch", "mine.toml", "--ticks", "20")
    same = ("tick", "digest", "plants", "monsters", "births", "deaths", "elements", "substances", "populations")
    assert {key: resumed[key] for key in same} == {key: straight[key] for key in same}
    assert resumed["run"] == "runs/mine-1" and straight["run"] == "runs/mine-2"


def test_elements_stay_the_same(capsys):
    before, after = (outcome(capsys, "launch", "mine.toml", "--ticks", ticks) for ticks in ("0", "40"))
    assert before["elements"] == after["elements"] and before["digest"] != after["digest"]


def test_seed_and_set_change_the_world_and_are_frozen_with_it(capsys):
    plain = outcome(capsys, "launch", "mine.toml", "--ticks", "3")
    other = outcome(
        capsys, "launch", "mine.toml", "--ticks", "3", "--seed", "9", "--set", "founders.2.count=7", "--run", "r"
    )
    assert plain["digest"] != other["digest"]
    frozen = tomllib.loads(Path("r/world.toml").read_text())
    assert frozen["seed"] == 9 and frozen["founders"][2]["count"] == 7
    assert other["populations"]["monsters"]["grazer"] == 7


def test_worlds_of_other_laws_run_show_and_export_too(capsys):
    found = outcome(capsys, "launch", "wolf_sheep", "--ticks", "5", "--run", "ws")
    assert found["plants"] == 0 and found["elements"] == {} and found["populations"]["sheep"]["sheep"] > 100
    umwelt(capsys, "picture", "ws", "ws.png", "--size", "64x64")
    umwelt(capsys, "export", "ws", "--to", "out")
    assert parquet.read_table("out/matter.parquet").num_rows == 0


def test_check_of_species_can_be_turned_on(capsys):
    assert outcome(capsys, "launch", "mine.toml", "--ticks", "2", "--check")["tick"] == 2


def test_new_writes_a_world_that_passes_check(capsys):
    umwelt(capsys, "new", "heath", "--to", "there.toml")
    lines = [line for line in Path("there.toml").read_text().splitlines() if line and not line.startswith("#")]
    assert [line.split()[0] for line in lines[:3]] == ["width", "height", "seed"]
    sections = [line for line in lines if line.startswith("[")]
    assert sections.index("[climate]") < sections.index("[chemistry]") < sections.index("[[founders]]")
    assert "there.toml: fine: 128 × 128 cells" in umwelt(capsys, "check", "there.toml")


def test_what_new_comments_out_is_right_too(capsys):
    umwelt(capsys, "new", "heath")
    text = Path("heath.toml").read_text()
    shown = re.sub(r"(?m)^# (?=[a-z]+ = |\[\[)", "", text)
    shown = re.sub(r"(?m)^(behaviour) = .*$", "", shown)
    Path("shown.toml").write_text(shown)
    assert "shown.toml: fine" in umwelt(capsys, "check", "shown.toml")


def test_worlds_are_listed_with_a_line_each(capsys):
    listed = umwelt(capsys, "worlds")
    assert all(name in listed for name in ("golden", "meadow", "wolf_sheep"))


def test_export_writes_populations_matter_and_births(capsys):
    outcome(capsys, "launch", "mine.toml", "--ticks", "24")
    umwelt(capsys, "export", "runs/mine-1", "--to", "out")
    populations = parquet.read_table("out/populations.parquet").to_pylist()
    assert {row["species"] for row in populations} == {"grass", "reed", "grazer", "hunter"}
    assert {row["tick"] for row in populations} == {0, 8, 16, 24}
    matter = parquet.read_table("out/matter.parquet").to_pylist()
    journal = Journal.reading(Path("runs/mine-1/journal.sqlite"))
    assert [row["count"] for row in matter if row["substance"] == "water"] == [
        m.substances["water"] for m in journal.metrics()
    ]
    births = parquet.read_table("out/births.parquet").to_pylist()
    assert len(births) > 0 and all(0 < row["tick"] <= 24 and len(row["genome"]) > 0 for row in births)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_takes_a_snapshot_and_says_how_to_go_on(number):
    running = subprocess.Popen(
        [sys.executable, "-m", "umwelt.client.cli", "launch", "mine.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not Path("runs/mine-1/snapshots/tick-000000000000").exists() and running.poll() is None:
        time.sleep(0.05)
    time.sleep(1.5)
    running.send_signal(number)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "go on with: umwelt resume runs/mine-1" in out.decode()
    tick = int(re.search(r"saved at tick ([\d,]+)", out.decode())[1].replace(",", ""))
    assert Run.resume(Path("runs/mine-1")).tick == tick


def test_a_run_killed_outright_is_resumed_from_its_last_snapshot():
    running = subprocess.Popen([sys.executable, "-m", "umwelt.client.cli", "launch", "mine.toml", "--no-view"])
    while not Path("runs/mine-1/snapshots/tick-000000000000").exists() and running.poll() is None:
        time.sleep(0.05)
    time.sleep(1.5)
    running.kill()
    running.wait()
    run = Run.resume(Path("runs/mine-1"))
    assert run.tick == 0
    for _ in run.ticks(16):
        pass
    assert run.journal.digests().keys() >= {0, 8, 16}


def modules_after(script: str) -> set[str]:
    printed = subprocess.check_output([sys.executable, "-c", f"{script}\nimport sys; print(*sys.modules)"], text=True)
    return set(printed.split("\n")[-2].split())


def test_help_imports_nothing_that_is_slow():
    script = "from umwelt.client.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not modules_after(script) & {"numba", "numpy", "mesa", "pandas", "pyarrow", "zarr", "PIL"}


def test_launch_imports_no_mesa_pandas_or_pyarrow():
    launched = "main(['launch', 'mine.toml', '--ticks', '1', '--no-view'])"
    script = f"from umwelt.client.cli import main\ntry: {launched}\nexcept SystemExit: pass"
    assert not modules_after(script) & {"mesa", "pandas", "pyarrow", "PIL", "matplotlib"}


def screen(run: Run, width: int, height: int) -> list[str]:
    """What the dashboard shows, line by line."""
    console = Console(record=True, width=width, height=height, force_terminal=True, file=io.StringIO())
    board = dashboard.Dashboard(run, console)
    board.trend.note(run.measure())
    console.print(board.layout(), height=height)
    return console.export_text().splitlines()


@pytest.mark.parametrize("size", [(80, 24), (140, 45), (60, 18)])
def test_the_dashboard_fits_its_terminal_and_tells_the_world(tmp_path, size):
    run = small_run(tmp_path / "runs" / "small-1", 6)
    lines = screen(run, *size)
    assert len(lines) <= size[1] and all(len(line) <= size[0] for line in lines)
    shown = "\n".join(lines)
    for text in ("tick 6", "ticks/s", "grass", "hunter", "births", "deaths", "▀▀▀▀", "Ctrl-C"):
        assert text in shown
    if size[1] >= 24:
        assert "water" in shown and "oxygen" in shown


def test_numbers_and_sparklines_are_short():
    assert [dashboard.short(n) for n in (0, 7, 950, 1234, 45678, 123456, 7.25e6, 3e9)] == [
        "0", "7", "950", "1234", "45.7k", "123k", "7.25M", "3G",
    ]  # fmt: skip
    assert dashboard.sparkline([0, 1, 2, 4], 4) == "▁▂▄█"
    assert len(dashboard.sparkline(list(range(600)), 14)) == 14
    assert dashboard.sparkline([0, 0], 5) == "▁▁" and dashboard.sparkline([], 5) == ""
