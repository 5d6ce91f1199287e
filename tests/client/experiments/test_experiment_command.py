"""Results of experiments: outcomes, expectations, tables and plots; and the command `umwelt experiment`."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from umwelt.agents.measures import without_nan
from umwelt.client.commands.cli import main
from umwelt.client.experiments.analyses import hunters_lag, peaks
from umwelt.client.experiments.outcomes import Run, judge
from umwelt.client.experiments.plan import read_experiment

TEXT = """
summary = "light or none"
world = "golden"
ticks = 20
seeds = 2
every = 10
measures = ["populations"]

[set]
width = 40
height = 40

[vary]
"climate.light" = [0.0, 1.0]

[[expect]]
says = "plants live on for a while"
value = "plants.end"
above = 0

[[expect]]
says = "more seeds than can be"
value = "grass_seeds.max"
above = 1e9

[quick]
ticks = 4

[[plots]]
title = "grass"
columns = ["grass"]

[[plots]]
title = "at the end"
outcomes = ["plants.end"]
x = "climate.light"
"""


def command(*arguments: str) -> int:
    """Runs `umwelt experiment`; returns the exit code."""
    with pytest.raises(SystemExit) as left:
        main(["experiment", *arguments])
    return left.value.code


def made(tmp_path: Path, text: str = TEXT) -> str:
    path = tmp_path / "lit.toml"
    path.write_text(text, "utf-8")
    return str(path)


def runs_of(path: str, columns: dict[int, dict[str, list[float]]]) -> list[Run]:
    """Returns runs with given columns by point; the values of a run are those of its point plus its seed."""
    found = []
    for trial in read_experiment(path).trials:
        values = {name: np.array(one, float) + trial.seed for name, one in columns[trial.point].items()}
        found.append(Run(trial, {"tick": np.arange(3.0) * 10, **values}, {"slope": trial.point - 0.5}))
    return found


def test_outcomes_are_statistics_of_columns_or_figures(tmp_path):
    run = runs_of(made(tmp_path), {0: {"grass": [4, math.nan, 9]}, 1: {"grass": [1, 2, 3]}})[0]
    statistics = ("start", "end", "rise", "mean", "min", "max", "range", "dispersion")
    assert [run.value(f"grass.{how}") for how in statistics] == [5, 10, 5, 7.5, 5, 10, 5, 6.25 / 7.5]
    assert run.value("slope") == -0.5 and run.value("grass.mean", 20) == 10 and run.value("grass.end", 0, 5) == 5
    assert all(math.isnan(run.value(name)) for name in ("moss.end", "grass", "grass.middle"))


@pytest.mark.parametrize(
    ("bounds", "held"),
    [
        ("above = 9.5", 3),
        ("above = 9.5\nin_runs = 3", 3),
        ("below = 100", 4),
        ("between = [10, 12.5]", 2),
        ('above = 0\nwhere = {"climate.light" = 1.0}', 2),
        ('above = 0.5\nwhere = {"climate.light" = 1.0}\nagainst = {"climate.light" = 0.0}', 2),
        ('below = -0.5\nagainst = {"climate.light" = 1.0}', 2),
    ],
)
def test_an_expectation_counts_the_runs_that_satisfy_it(tmp_path, bounds, held):
    text = TEXT.split("[[expect]]", maxsplit=1)[0] + f'[[expect]]\nsays = "so"\nvalue = "grass.end"\n{bounds}\n'
    runs = runs_of(made(tmp_path, text), {0: {"grass": [0, 0, 8]}, 1: {"grass": [0, 0, 11]}})  # 9, 10; 12, 13
    finding = judge(read_experiment(made(tmp_path, text)), runs)[0]
    assert finding.satisfied_count == held and finding.holds == (held == len(finding.values) or "in_runs" in bounds)


def test_a_run_is_compared_with_the_one_that_differs_only_in_the_given_key(tmp_path):
    start = TEXT.split("[[expect]]", maxsplit=1)[0] + '"climate.wind" = [0.0, 1.0]\n'
    text = start + '[[expect]]\nsays = "so"\nvalue = "grass.end"\nabove = 5\nagainst = {"climate.light" = 0.0}\n'
    columns = {at: {"grass": [0, 0, end]} for at, end in enumerate([1, 100, 11, 110])}
    finding = judge(read_experiment(made(tmp_path, text)), runs_of(made(tmp_path, text), columns))[0]
    assert finding.values == (10, 10, 10, 10) and finding.holds


def test_an_expectation_without_measured_values_does_not_hold(tmp_path):
    expected = '[[expect]]\nsays = "so"\nvalue = "grazer.fatigue_more.end"\nbelow = 9\n'
    text = TEXT.split("[[expect]]", maxsplit=1)[0].replace('["populations"]', '["behaviour"]') + expected
    runs = runs_of(made(tmp_path, text), {0: {}, 1: {}})
    finding = judge(read_experiment(made(tmp_path, text)), runs)[0]
    assert not finding.holds and finding.summary == "nothing measured"


def populations(grazers: np.ndarray, hunters: np.ndarray) -> dict[str, np.ndarray]:
    """Returns columns of populations from logarithms of the numbers of grazers and hunters."""
    return {"tick": np.arange(len(grazers)) * 100.0, "grazer": np.exp(6 + grazers), "hunter": np.exp(4 + hunters)}


def wandering(seed: int, count: int = 300) -> np.ndarray:
    """Returns smoothed noise, which varies over a few hundred ticks."""
    noise = np.random.default_rng(seed).normal(size=count + 12)
    return np.convolve(noise, np.full(13, 0.2), "valid")[:count]


def test_the_lag_of_hunters_behind_grazers_is_measured():
    ticks = np.arange(-1000, 30_000, 100.0)
    uneven = 300 * np.cumsum(wandering(3, len(ticks)) / 9)
    cycle = np.sin(2 * np.pi * (ticks + uneven) / 3000)
    grazers, hunters = cycle[10:] + ticks[10:] / 5000, cycle[3:-7] + ticks[10:] / 5000
    found = hunters_lag(populations(grazers + wandering(1) / 9, hunters + wandering(2) / 9))
    assert abs(found["hunters_lag.ticks"] - 700) <= 100 and found["hunters_lag.correlation"] > 0.9
    assert abs(found["hunters_lag.cycle_ticks"] - 3000) <= 400 and 0.18 < found["hunters_lag.cycles"] < 0.3
    assert found["hunters_lag.chance"] == 0


def test_noise_after_a_boom_has_a_lag_only_by_chance():
    boom = np.exp(-((np.arange(300) - 8) ** 2) / 20)
    lucky = 0
    for seed in range(20):
        found = hunters_lag(populations(3 * boom + wandering(seed), 3 * np.roll(boom, 5) + wandering(seed + 99)))
        lucky += found.get("hunters_lag.chance", 1) < 0.1 and 0.125 < found["hunters_lag.cycles"] < 0.375
    assert lucky <= 4


def test_there_is_no_lag_if_hunters_die_out_or_the_run_is_short():
    cycle = np.sin(np.arange(300) / 5)
    dead = populations(cycle, np.roll(cycle, 6))
    dead["hunter"][200:] = 0
    assert without_nan(hunters_lag(dead)) == {} == without_nan(hunters_lag(populations(cycle[:90], cycle[:90])))


def test_a_peak_is_the_first_tick_at_which_there_is_most():
    nan = float("nan")
    columns = {"tick": [0, 5, 10, 15], "a": [1, 7, 7, 2], "b": [nan, 2, 1, 3], "c": [nan] * 4}
    found = peaks({name: np.array(values, float) for name, values in columns.items()})
    assert without_nan(found) == {"tick.peak_tick": 15, "a.peak_tick": 5, "b.peak_tick": 15}


def test_an_experiment_writes_tables_plots_and_a_verdict_and_is_not_run_twice(tmp_path, capsys):
    path, folder = made(tmp_path), tmp_path / "found"
    assert command(path, "--to", str(folder), "--processes", "2") == 1  # one expectation cannot hold
    assert {one.name for one in folder.iterdir() if one.is_file()} == {
        "results.parquet",
        "outcomes.parquet",
        "lit.png",
        "verdict.md",
    }
    results = parquet.read_table(folder / "results.parquet").to_pydict()
    assert results["tick"] == [0, 10, 20] * 4 and results["climate.light"] == [0.0] * 6 + [1.0] * 6
    assert results["seed"] == ([1] * 3 + [2] * 3) * 2
    outcomes = parquet.read_table(folder / "outcomes.parquet").to_pylist()
    assert len(outcomes) == 4 and outcomes[3]["plants live on for a while"] == results["plants"][-1]
    assert (folder / "lit.png").read_bytes().startswith(b"\x89PNG")
    verdict = (folder / "verdict.md").read_text()
    assert "| plants live on for a while |" in verdict and "| 0 of 4 | NO |" in verdict and "4 of 4 | yes" in verdict
    before = {one.name: one.stat().st_mtime_ns for one in (folder / "runs").iterdir()}
    capsys.readouterr()
    assert command(path, "--to", str(folder), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["holds"] for one in told["expectations"]] == [True, False]
    assert {one.name: one.stat().st_mtime_ns for one in (folder / "runs").iterdir()} == before


def test_quick_results_are_separate_and_judge_no_expectation_of_the_whole_form(tmp_path, capsys):
    assert command(made(tmp_path), "--quick", "--to", str(tmp_path / "found")) == 0
    assert "nothing is judged" in capsys.readouterr().out
    assert (tmp_path / "found" / "quick" / "verdict.md").exists() and not (tmp_path / "found" / "verdict.md").exists()


def test_results_of_another_experiment_are_not_mixed_in(tmp_path, capsys):
    command(made(tmp_path), "--quick", "--to", str(tmp_path / "found"))
    capsys.readouterr()
    changed = made(tmp_path, TEXT.replace("every = 10", "every = 2"))
    assert command(changed, "--quick", "--to", str(tmp_path / "found")) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["no_such"], "no_such"),
        (["{path}", "--engine", "cloud"], "--engine cloud: use local or ray"),
        (["{path}", "--to", "{path}"], "choose another folder with --to"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, arguments, line):
    path = made(tmp_path)
    assert command(*[one.format(path=path) for one in arguments]) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_keeps_finished_runs_and_the_same_command_continues(tmp_path, capsys):
    path, folder = made(tmp_path, TEXT.replace("ticks = 20", "ticks = 300")), tmp_path / "found"
    line = [
        sys.executable,
        "-m",
        "umwelt.client.commands.cli",
        "experiment",
        path,
        "--to",
        str(folder),
        "--processes",
        "1",
    ]
    with (tmp_path / "out").open("wb") as out:
        running = subprocess.Popen(line, stdout=out, stderr=out, env={**os.environ, "COLUMNS": "200"})
        deadline_s = time.monotonic() + 240
        while not any(folder.glob("runs/*.parquet")) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        assert running.wait(180) == 130
    done = {path: path.read_bytes() for path in folder.glob("runs/*.parquet")}
    assert 0 < len(done) < 4
    assert f"{len(done)} of 4 runs are finished; the same command continues from here" in (tmp_path / "out").read_text()
    assert command(path, "--to", str(folder)) == 1
    assert f"{len(done)} of 4 runs are finished already" in capsys.readouterr().out
    assert all(path.read_bytes() == content for path, content in done.items()) and (folder / "verdict.md").is_file()


def test_texts_may_hold_any_character_and_points_any_value(tmp_path, capsys):
    """Formulas, markup and table separators in names, and values of different types, do not break the output."""
    text = TEXT.replace("light or none", r"costs $\\foo$ [/b]")
    text = text.replace("plants live on for a while", "[/b] a | $\\\\b$")
    text = text.replace('title = "grass"', r'title = "$\\foo"').split("[vary]", maxsplit=1)
    drop = '{command = "drop", y = 1, x = 1, substance = "sugar", count = 1}'
    points = f'[vary]\n"commands.0.do" = [{drop}, [{drop}, {drop}]]\n[[commands]]\ndo = {drop}\n'
    rest = text[1].split("\n", 2)[2].replace("climate.light", "tick").split('[[plots]]\ntitle = "at')[0]
    path, folder = made(tmp_path, text[0] + points + rest), tmp_path / "found"
    assert command(path, "--to", str(folder)) == 1
    verdict, out = (folder / "verdict.md").read_text("utf-8"), capsys.readouterr().out
    assert "| [/b] a &#124; $" in verdict and "[/b] a | $" in out and f"`umwelt experiment {path}`" in verdict
    assert (folder / "lit.png").is_file() and parquet.read_table(folder / "outcomes.parquet").num_rows == 4
