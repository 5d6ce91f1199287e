"""`umwelt duel`: its table, JSON and files, errors of one line, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from pyarrow import parquet
from small_runs import small_run

from umwelt.client.commands.cli import main
from umwelt.client.experiments.duel import (
    Genomes,
    load_moment,
    make_duel_world,
    run_duel,
    sample_founder_genomes,
    sample_living_genomes,
)

QUICK = ["--ticks", "24", "--seeds", "2"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    small_run(folder, 24, births=False, seed=2)
    return folder


def umwelt(capsys, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Runs `umwelt duel`, checks the exit code, and returns standard output and standard error."""
    with pytest.raises(SystemExit) as ended:
        main(["duel", *arguments])
    said = capsys.readouterr()
    assert ended.value.code == code, said.err
    return said.out, said.err


def left(rows: list[dict], species: str, seed: int, side: str) -> list[tuple]:
    """Returns (tick, living, births, generation) of one side of a duel at each tick."""
    chosen = [row for row in rows if (row["species"], row["seed"], row["group"]) == (species, seed, side)]
    return [(row["tick"], row["living"], row["births"], row["generation"]) for row in chosen]


@pytest.mark.slow
def test_each_monster_species_duels_its_founders_and_results_are_printed_and_written(kept, tmp_path, capsys):
    ticks = ("--ticks", "120", "--seeds", "2")
    out, err = umwelt(capsys, str(kept), *ticks, "--to", str(tmp_path / "out"), "--json")
    assert len(out.splitlines()) == 1
    found = json.loads(out)
    assert (found["run"], found["tick"], found["ticks"], found["against"]) == (str(kept), 24, 120, None)
    assert sum(one["more_offspring"] is not None for one in found["duels"]) > 0
    # seed 2, that of the run, is skipped: its world is not new
    assert [(one["species"], one["seed"]) for one in found["duels"]] == [
        ("grazer", 1),
        ("grazer", 3),
        ("hunter", 1),
        ("hunter", 3),
    ]
    rows = parquet.read_table(tmp_path / "out" / "duel.parquet").to_pylist()
    assert {row["group"] for row in rows if row["side"] and row["species"] == "hunter"} == {
        "hunter founders",
        "hunter descendants",
    }
    for duel in found["duels"]:
        births = {}
        for side, outcome in duel["sides"].items():
            its = left(rows, duel["species"], duel["seed"], side)
            assert [tick for tick, *_ in its] == list(range(121))
            assert its[0][1:] == ({"grazer": 30, "hunter": 10}[duel["species"]], 0, 0)
            assert (outcome["living"], outcome["births"]) == its[-1][1:3]
            births[side] = outcome["births"]
        best = max(births, key=lambda side: births[side])
        assert duel["more_offspring"] == (best if len(set(births.values())) == 2 else None)
    for verdict in found["verdicts"]:
        more = [one["more_offspring"] for one in found["duels"] if one["species"] == verdict["species"]]
        assert verdict["worlds"] == 2
        assert all(count == more.count(side) for side, count in verdict["more_offspring"].items())
        assert f"of 2 worlds (sign test: p = {verdict['chance']:.3g})" in err
    assert found["files"] == [str(tmp_path / "out" / name) for name in ("duel.parquet", "duel.png")]
    with Image.open(found["files"][1]) as picture:
        assert picture.size[0] == 1200 and len(set(picture.convert("RGB").getdata())) > 50
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["duel.parquet", "duel.png"]


def test_a_duel_uses_the_world_of_the_run_and_genomes_of_its_living_beings(kept, capsys):
    sizes = ("--each", "9", "--ticks", "16", "--seeds", "1")
    out, _ = umwelt(capsys, str(kept), "--species", "grazer", *sizes, "--json")
    outcome = json.loads(out)["duels"][0]
    world, region = load_moment(kept, None, "--tick")
    sides = (
        Genomes("grazer founders", sample_founder_genomes(world, "grazer", 9, 1)),
        Genomes("grazer descendants", sample_living_genomes(world, region, "grazer", 9, 1)),
    )
    rows = run_duel(make_duel_world(world, "grazer", *sides, 9, 1), 16, 16)[-5:]
    theirs = {row["group"]: (row["living"], row["births"]) for row in rows if row["group"].startswith("grazer ")}
    assert {side: (one["living"], one["births"]) for side, one in outcome["sides"].items()} == theirs


def test_plants_duel_if_named_and_against_replaces_the_founders(kept, capsys):
    said, _ = umwelt(capsys, str(kept), "--species", "grass", "--against", f"{kept}:8", "--each", "20", *QUICK)
    assert "rivals" in said and "descendants" in said and "founders" not in said
    assert "grass: descendants left more offspring in " in said and "of 2 worlds" in said
    assert [line.split()[0] for line in said.splitlines() if line.strip()[:1].isdigit()] == ["1", "3"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tick", "25"], "--tick 25: {run} has reached tick 24: give an earlier one, or resume it first"),
        (["--species", "grazr"], 'species: unknown "grazr": did you mean "grazer"?'),
        (["--against", "nowhere"], "nowhere: is not a run: there is no run.json in it"),
        (["--against", "{run}:99"], "--against {run}:99: {run} has reached tick 24"),
        (["--to", "{run}/world.toml"], "{run}/world.toml: no folder can be written there: choose another with --to"),
        (["--each", "0"], "'--each'"),
        (["--each", "1000000"], "1000000 of each side are more than one a cell: at most"),
        (["--seeds", "0"], "'--seeds'"),
        (["--ticks", "0"], "'--ticks'"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(kept, tmp_path, monkeypatch, capsys, arguments, expected):
    monkeypatch.chdir(tmp_path)
    out, err = umwelt(capsys, str(kept), *[argument.format(run=kept) for argument in arguments], code=2)
    assert out == "" and err.count("\n") == 1 and err.startswith("umwelt: ") and expected.format(run=kept) in err
    assert list(tmp_path.iterdir()) == []


def test_a_species_without_living_beings_or_founders_is_refused(tmp_path, capsys):
    def line(*arguments: str) -> str:
        return umwelt(capsys, str(folder), *arguments, code=2)[1]

    folder = tmp_path / "run"
    small_run(folder, births=False, founders__2__count=1, founders__3__count=0)
    assert "no hunter lives at tick 0: choose another tick or --species" in line("--species", "hunter", "--each", "3")
    assert "grazer has too few founders to halve: say how many with --each" in line()
    other = tmp_path / "other"
    small_run(other, births=False, founders__2__count=0, founders__3__count=0)
    folder = other
    assert "no monster species with founders lives at tick 0: choose another --tick, or name a plant" in line()


def test_ctrl_c_leaves_no_files_and_no_processes(kept, tmp_path):
    command = [
        sys.executable,
        "-m",
        "umwelt.client.commands.cli",
        "duel",
        str(kept),
        "--ticks",
        "1000000",
        "--to",
        "out",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        members: set[int] = set()
        end_s = time.monotonic() + 240
        while len(members) < 3:  # the command, Python's resource tracker, and a worker
            assert process.poll() is None and time.monotonic() < end_s
            members |= session(process.pid)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # to the whole process group, as a terminal does
        out, err = process.communicate(timeout=180)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and out == ""
    assert err == "umwelt: stopped at once; what was saved before is complete\n"
    assert list(tmp_path.iterdir()) == []
    end_s = time.monotonic() + 180
    while session(process.pid):  # the resource tracker ends after the others
        assert time.monotonic() < end_s
        time.sleep(0.05)


def session(leader: int) -> set[int]:
    """Returns the ids of the living processes of a session."""
    found = set()
    for path in Path("/proc").iterdir():
        try:
            fields = (path / "stat").read_text("ascii", "replace").rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if path.name.isdecimal() and int(fields[3]) == leader and fields[0] != "Z":
            found.add(int(path.name))
    return found
