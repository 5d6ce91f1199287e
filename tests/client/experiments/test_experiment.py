"""Experiments: the file is checked before the first run, and a stopped run continues bit for bit."""

import shutil
import textwrap
from pathlib import Path

import msgspec
import own_measures
import pytest

from umwelt.agents import commands
from umwelt.agents.commands.drop import Drop
from umwelt.agents.measures import MEASURES, find_measure
from umwelt.agents.open_world import begin
from umwelt.client.experiments import schema
from umwelt.client.experiments.plan import bundled_experiments, read_experiment
from umwelt.client.experiments.trial import ROWS, Result, all_runs, make_job, run_job
from umwelt.cluster.run.replay import Replay
from umwelt.cluster.tasks.pool import WorkerPool
from umwelt.sandbox import audit
from umwelt.sandbox.errors import UmweltError

SMALL = """
world = "golden"
ticks = 24
seeds = [3, 5]
every = 10
measures = ["populations", "elements"]

[set]
width = 40
height = 40
"founders.0.count" = 60
"""


DROP = 'do = {command = "drop", y = 3, x = 3, substance = "sugar", count = 50}'


def written(folder: Path, text: str) -> Path:
    """Writes an experiment's file; returns its path."""
    path = folder / "small.toml"
    path.write_text(text, "utf-8")
    return path


def run(path: Path, folder: Path, **changes):
    """Runs the first trial of an experiment; returns its result."""
    job = make_job(read_experiment(str(path)).trials[0], folder)
    return run_job(msgspec.structs.replace(job, **changes), lambda tick: None)


def test_a_grid_has_a_trial_for_each_combination_and_seed(tmp_path):
    text = SMALL + '[vary]\n"climate.light" = [0.5, 1.0, 1.5]\n"founders.4.count" = [0, 4]\n'
    experiment = read_experiment(str(written(tmp_path, text)))
    assert len(experiment.points) == 6 and len(experiment.trials) == 12
    assert len({trial.key for trial in experiment.trials}) == 12
    assert experiment.points[1] == {"climate.light": 0.5, "founders.4.count": 4}
    trial = experiment.trials[3]
    assert (trial.seed, trial.world.common.seed, trial.world.settings.climate.light) == (5, 5, 0.5)
    assert trial.world.settings.founders[4].count == 4


def test_points_are_taken_as_they_are_listed(tmp_path):
    text = SMALL + '[[points]]\n"climate.light" = 0.5\n[[points]]\n"climate.wind" = 0.0\n'
    assert read_experiment(str(written(tmp_path, text))).points == ({"climate.light": 0.5}, {"climate.wind": 0.0})


def test_a_run_equals_the_plain_world_and_is_measured_at_the_stated_ticks(tmp_path):
    path = written(tmp_path, SMALL)
    found = run(path, tmp_path / "under_way")
    assert [row["tick"] for row in found.rows] == [0, 10, 20, 24]
    trial = read_experiment(str(path)).trials[0]
    region = begin(trial.world)
    going = Replay(trial.world, region)
    for _ in range(24):
        going.step()
    assert found.digest == audit.world_digest(region)
    assert found.rows[-1]["monsters"] == region.owned_rows("monsters").sum()
    assert found.rows[0]["C_atoms"] == found.rows[-1]["C_atoms"] > 0


class Stop(Exception):
    """Ends a run in the middle, as a killed process would."""


def test_a_stopped_run_continues_from_its_checkpoint_with_the_same_result(tmp_path):
    path, folder = written(tmp_path, SMALL), tmp_path / "under_way"
    whole = run(path, tmp_path / "other")

    def stop_at_17(tick: int) -> None:
        if tick == 17:
            raise Stop

    job = make_job(read_experiment(str(path)).trials[0], folder)
    with pytest.raises(Stop):
        run_job(msgspec.structs.replace(job, checkpoint_every_s=0.0), stop_at_17)
    assert msgspec.json.decode((folder / ROWS).read_bytes())["tick"] == 16
    ticks: list[int] = []
    again = run_job(job, ticks.append)
    assert ticks[0] == 16 and again == whole
    assert not folder.exists()


@pytest.mark.parametrize("harm", ["rows", "snapshot", "other"])
def test_a_checkpoint_that_is_damaged_or_of_another_trial_is_not_used(tmp_path, harm):
    path, folder = written(tmp_path, SMALL), tmp_path / "under_way"
    whole = run(path, tmp_path / "other")
    job = make_job(read_experiment(str(path)).trials[0], folder)
    with pytest.raises(Stop):
        run_job(
            msgspec.structs.replace(job, checkpoint_every_s=0.0),
            lambda tick: (_ for _ in ()).throw(Stop) if tick == 3 else None,
        )
    assert msgspec.json.decode((folder / ROWS).read_bytes())["tick"] == 2
    if harm == "rows":
        (folder / ROWS).write_bytes((folder / ROWS).read_bytes()[:40])
    elif harm == "snapshot":
        shutil.rmtree(next(folder.glob("tick-*")))
    else:
        job = msgspec.structs.replace(job, key="another")
    ticks: list[int] = []
    assert run_job(job, ticks.append) == whole and ticks[0] == 0


def test_commands_are_done_on_schedule(tmp_path):
    text = f"{SMALL}[[commands]]\nfirst = 4\nuntil = 20\nevery = 8\n{DROP}\n"
    path = written(tmp_path, text)
    due = read_experiment(str(path)).trials[0].due
    assert [(command.tick, command.number) for command in due] == [(4, 1), (12, 2)]
    assert all(isinstance(commands.decode(command.content), Drop) for command in due)
    plain, treated = run(written(tmp_path, SMALL), tmp_path / "a"), run(written(tmp_path, text), tmp_path / "b")
    added = {name: treated.rows[-1][name] - plain.rows[-1][name] for name in plain.rows[-1] if name.endswith("_atoms")}
    assert added == {"C_atoms": 100, "H_atoms": 200, "N_atoms": 0, "O_atoms": 100}


def test_a_duel_gives_figures_of_both_sides(tmp_path):
    text = with_duel("at = 20, species = ['grazer', 'hunter'], each = 6, ticks = 15")
    figures = run(written(tmp_path, text), tmp_path / "under_way").figures
    assert figures["duel.grazer.more"] == figures["duel.grazer.descendants"] - figures["duel.grazer.founders"]
    assert "duel.hunter.more" in figures


def test_a_garden_measures_descendants_and_founders(tmp_path):
    path = written(tmp_path, SMALL + GARDEN + 'set = {"founders.4.count" = 0}\n')
    found = run(path, tmp_path / "under_way")
    assert found.digest == run(written(tmp_path, SMALL), tmp_path / "other").digest
    assert all(found.figures[f"garden.{side}.speed_fixed"] > 0 for side in ("descendants", "founders"))
    assert all(name.startswith(("garden.descendants.", "garden.founders.", "garden.gain.")) for name in found.figures)
    gain = found.figures["garden.descendants.speed_fixed"] - found.figures["garden.founders.speed_fixed"]
    assert found.figures["garden.gain.speed_fixed"] == pytest.approx(gain)


def test_parallel_runs_have_the_results_of_single_runs(tmp_path):
    path = written(tmp_path, SMALL)
    jobs = [make_job(trial, tmp_path / trial.name) for trial in read_experiment(str(path)).trials]
    seen: dict[str, int] = {}
    found: dict[int, Result] = {}
    with WorkerPool(2, on_tick=seen.__setitem__) as shop:
        shop.run_workflow(all_runs, jobs, found.__setitem__)
    assert set(seen) <= {"0", "1"}
    assert found[0] == run(path, tmp_path / "alone") and found[1].digest != found[0].digest


LONG = SMALL.replace("ticks = 24", "ticks = 9999999")
EXPECT = '[[expect]]\nsays = "so"\nvalue = "grazer.end"\n'


GARDEN = '[garden]\nat = 10\nspecies = "grazer"\nmeasures = ["state"]\neach = 6\nticks = 8\nevery = 2\n'


def with_duel(text: str) -> str:
    return SMALL.replace("ticks = 24", f"ticks = 24\nduel = {{{text}}}")


FLOCKS = SMALL.replace("golden", "flocking").replace('"founders.0.count" = 60', "")

MATCHED = (
    "analyses = ['foragers']\nacross = ['matching']\n"
    + SMALL.replace('"elements"', '"patches"')
    + f"[[commands]]\n{DROP}\n" * 2
    + '[[points]]\n"commands.0.do.count" = 5\n"commands.1.do.count" = 9\n'
    '[[points]]\n"commands.0.do.count" = 8\n"commands.1.do.count" = 6\n'
    + EXPECT.replace("grazer.end", "matching.slope")
    + "above = 0\n"
)

WRONG = {
    "an unknown key": (SMALL + "[sett]\nwidth = 8\n", 'unknown key "sett": did you mean "set"'),
    "an unknown measure": (SMALL.replace("elements", "elments"), 'unknown "elments": did you mean "elements"'),
    "an unknown analysis": ("analyses = ['lag']\n" + SMALL, "analyses"),
    "no seed": (SMALL.replace("[3, 5]", "[]"), "name at least one"),
    "a seed below 0": (SMALL.replace("[3, 5]", "[3, -5]"), "seeds = [3, -5]: use 0 to"),
    "a seed twice": (SMALL.replace("[3, 5]", "[3, 3]"), "none twice"),
    "an unknown world": (SMALL.replace('"golden"', '"goldn"'), "golden"),
    "a key that the world does not know": (SMALL + "heigth = 4\n", "heigth"),
    "a value that one point cannot have": (SMALL + '[vary]\n"climate.light" = [1.0, 9.0]\n', "climate.light = 9"),
    "a grid and points": (SMALL + "[vary]\nseed = [1]\n[[points]]\nseed = 2\n", "use one of them"),
    "an empty list to vary": (SMALL + '[vary]\n"climate.light" = []\n', "at least one value"),
    "a command that cannot be": (f"{SMALL}[[commands]]\n{DROP.replace('y = 3', 'y = 99')}\n", "commands[0]"),
    "too many commands": (f"{LONG}[[commands]]\n{DROP}\n", "give them less often"),
    "an expectation without bounds": (SMALL + EXPECT, "has no bound"),
    "words said twice": (f"{SMALL}{EXPECT}above = 0\n{EXPECT}above = 1\n", "is there twice"),
    "an expectation of no point": (f"{SMALL}{EXPECT}above = 0\nwhere = {{width = 3}}\n", "no point has"),
    "a plot of nothing": (SMALL + '[[plots]]\ntitle = "none"\n', "name columns or outcomes"),
    "a plot of no point": (SMALL + '[[plots]]\ntitle = "a"\ncolumns = ["grass"]\nwhere = {width = 3}\n', "no point"),
    "a duel of an unknown species": (with_duel("at = 5, species = ['grazr']"), "grazr"),
    "a duel after the end": (with_duel("at = 50, species = ['grazer']"), "use a tick up to 24"),
    "a garden that cannot be": (SMALL + GARDEN.replace('"grazer"', '"grazr"'), "grazr"),
    "a garden's unknown setting": (SMALL + GARDEN + 'set = {"founders.9.count" = 0}\n', "garden.set"),
    "a garden's unknown side": (
        SMALL + GARDEN + EXPECT.replace("grazer.end", "garden.descendents.speed_fixed") + "above = 0\n",
        'mean "garden.descendants.speed_fixed"',
    ),
    "an outcome of nothing": (f"{SMALL}{EXPECT.replace('grazer.end', 'grazr.end')}above = 0\n", 'mean "grazer"'),
    "an unknown statistic": (f"{SMALL}{EXPECT.replace('grazer.end', 'grazer.last')}above = 0\n", "nor ends in one of"),
    "a figure of no analysis": (f"{SMALL}{EXPECT.replace('grazer.end', 'thinning.slope')}above = 0\n", "neither"),
    "a duel's other species": (
        with_duel("at = 5, species = ['grazer']") + EXPECT.replace("grazer.end", "duel.hunter.more") + "above = 0\n",
        'mean "duel.grazer.more"',
    ),
    "an analysis without its measure": ("analyses = ['thinning']\n" + SMALL, 'analyses: "thinning"'),
    "a figure that its analysis does not tell": (
        "analyses = ['peaks']\n" + SMALL + EXPECT.replace("grazer.end", "hunter.peak_tik") + "above = 0\n",
        "neither",
    ),
    "a column misspelt behind its point": (
        SMALL.replace("elements", "behaviour") + EXPECT.replace("grazer.", "grazer.toward_huntre.") + "above = 0\n",
        'mean "grazer.toward_hunter"',
    ),
    "a plot over nothing": (SMALL + '[[plots]]\ntitle = "a"\ncolumns = ["grass"]\nx = "tik"\n', 'mean "tick"'),
    "a comparison without its points": ("across = ['matching']\n" + SMALL, "needs commands.0.do.count at each point"),
    "a measure of other laws": (FLOCKS.replace("elements", "state"), "cannot measure flocking"),
    "bounds turned round": (f"{SMALL}{EXPECT}between = [5, 1]\n", "swap them"),
    "an end before its beginning": (f"{SMALL}{EXPECT}above = 0\nfirst = 9\nuntil = 3\n", "swap them"),
    "more runs than there are": (f"{SMALL}{EXPECT}above = 0\nin_runs = 3\n", "use 1 to 2"),
    "in no run": (f"{SMALL}{EXPECT}above = 0\nin_runs = 0\n", "use 1 to 2"),
    "no one to be compared with": (
        SMALL + '[[points]]\n"climate.light" = 1.0\n"climate.wind" = 0.5\n[[points]]\n'
        '"climate.light" = 0.0\n"climate.wind" = 0.0\n[[points]]\n"climate.light" = 0.0\n'
        f'"climate.wind" = 0.1\n{EXPECT}above = 0\nagainst = {{"climate.light" = 0.0}}\n',
        "name more of its values",
    ),
    "a plot of a column that is not": (SMALL + '[[plots]]\ntitle = "a"\ncolumns = ["gras"]\n', 'mean "grass"'),
    "no TOML": ("world = ", "not TOML"),
    "no ticks": (SMALL.replace("24", "0"), "use 1 or more"),
    "a seed of a point": (SMALL + "[vary]\nseed = [1, 2]\n", "leave it out of set, vary and points"),
    "a point twice": (SMALL + '[vary]\n"climate.light" = [1.0, 1.0]\n', "is listed twice"),
    "more runs than can be": (
        SMALL + "[vary]\n" + "".join(f'"founders.{n}.count" = {list(range(40))}\n' for n in range(5)),
        "102400000 points times 2 seeds",
    ),
    "no such entry": (SMALL + '"founders.9.count" = 3\n', "set, vary or points: founders.9.count: no entry"),
    "a garden measured never": (SMALL + GARDEN.replace("every = 2", "every = 0"), "every = 0"),
    "a garden of no measure": (SMALL + GARDEN.replace('["state"]', "[]"), "garden: species or measures are empty"),
    "a duel of nobody": (with_duel("at = 5, species = []"), "duel: species or measures are empty"),
    "commands after the end": (SMALL + f"[[commands]]\nfirst = 24\n{DROP}\n", "no tick of 24 is between"),
    "commands that have a place and are scattered": (
        SMALL + f"[[commands]]\n{DROP}\nover = [0, 0, 4, 4]\n",
        "leave out y and x, or over",
    ),
    "a figure that is wanted of each run": ("across = ['holling']\n" + SMALL, "needs the figure intake."),
    "a figure of all runs of a few": (MATCHED + 'where = {"commands.0.do.count" = 5}\n', "is of all runs together"),
    "a figure of all runs drawn of each": (
        MATCHED + '[[plots]]\ntitle = "a"\noutcomes = ["matching.slope"]\n',
        "is of all runs together",
    ),
    "a part of a figure of the whole run": (
        "analyses = ['peaks']\n" + SMALL + EXPECT.replace("grazer.end", "tick.peak_tick") + "above = 0\nfirst = 3\n",
        "is of the whole run",
    ),
    "compared with itself": (
        SMALL + '[vary]\n"climate.light" = [0.0, 1.0]\n' + EXPECT + 'above = 0\nwhere = {"climate.light" = 1.0}\n'
        'against = {"climate.light" = 1.0}\n',
        "none to compare",
    ),
    "bounds that exclude each other": (f"{SMALL}{EXPECT}above = 5\nbelow = 5\n", "nothing is above 5 and below 5"),
    "ticks beyond the last": (f"{SMALL}{EXPECT}above = 5\nfirst = 25\n", "nothing is measured between"),
    "ticks between measurements": (f"{SMALL}{EXPECT}above = 5\nfirst = 1\nuntil = 9\n", "nothing is measured between"),
    "words that are a column's": (SMALL + EXPECT.replace('"so"', '"seed"') + "above = 5\n", 'says = "seed"'),
    "a measure that fails": (SMALL.replace('"elements"', '"own_measures:failing"'), "0: RuntimeError: broken in two"),
    "a measure that misses a key": (SMALL.replace('"elements"', '"own_measures:missing"'), "fails at tick 0: KeyError"),
    "a measure that tells nothing": (SMALL.replace('"elements"', '"own_measures:silent"'), "returns NoneType"),
    "a measure that tells words": (SMALL.replace('"elements"', '"own_measures:wordy"'), "returns 'a' = 'word'"),
    "a measure that tells the tick": (SMALL.replace('"elements"', '"own_measures:timely"'), "returns 'tick' = 5"),
    "a measure that is none": (SMALL.replace('"elements"', '"own_measures:NUMBER"'), "is not a function"),
    "a duel without genomes": (FLOCKS + "[duel]\nat = 5\nspecies = ['bird']\n", "no founders with genomes"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_in_a_file_is_one_line_before_the_first_run(tmp_path, what):
    text, line = WRONG[what]
    path = written(tmp_path, text)
    with pytest.raises(UmweltError) as raised:
        read_experiment(str(path))
    assert line in str(raised.value) and str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_the_quick_form_of_a_file_without_one_is_refused(tmp_path):
    with pytest.raises(UmweltError, match="has no quick form"):
        read_experiment(str(written(tmp_path, SMALL)), quick=True)


def test_an_error_in_the_whole_form_is_also_reported_for_the_quick_form(tmp_path):
    wrong = SMALL + '[[plots]]\ntitle = "a"\ncolumns = ["gras"]\n[quick]\nticks = 5\n'
    with pytest.raises(UmweltError, match='mean "grass"'):
        read_experiment(str(written(tmp_path, wrong)), quick=True)


@pytest.mark.parametrize("name", bundled_experiments())
def test_bundled_experiments_can_be_run_in_both_forms(name):
    quick, full = read_experiment(name, quick=True), read_experiment(name)
    assert full.file.expect and full.file.summary and full.file.plots
    assert sum(trial.ticks for trial in quick.trials) < sum(trial.ticks for trial in full.trials) / 10


def test_the_example_in_the_docstring_of_the_schema_is_valid(tmp_path):
    lines = [line for line in (schema.__doc__ or "").splitlines() if line.startswith("    ")]
    path = written(tmp_path, textwrap.dedent("\n".join(lines)))
    assert len(read_experiment(str(path)).trials) == 40 and len(read_experiment(str(path), quick=True).trials) == 40


def test_measures_are_found_by_name_and_others_by_module_and_function():
    assert find_measure("populations") is MEASURES["populations"]
    assert find_measure("umwelt.agents.measures.census:matter") is MEASURES["matter"]


def test_a_measure_of_the_user_is_run_and_its_code_is_part_of_the_key(tmp_path, monkeypatch):
    path = written(tmp_path, SMALL.replace('"elements"', '"own_measures:good"'))
    rows = run(path, tmp_path / "one").rows
    assert [(row["doubled_tick"], row["late"]) for row in rows] == [(0, 0), (20, 1), (40, 1), (48, 1)]
    in_garden = tmp_path / "garden.toml"
    in_garden.write_text(SMALL + GARDEN.replace('"state"', '"own_measures:good"'), "utf-8")
    keys = [read_experiment(str(one)).trials[0].key for one in (path, in_garden)]
    assert [read_experiment(str(one)).trials[0].key for one in (path, in_garden)] == keys
    monkeypatch.setattr(own_measures, "good", lambda world, region: {"doubled_tick": 2.0, "late": 0.0})
    for one, key in zip((path, in_garden), keys, strict=True):
        assert read_experiment(str(one)).trials[0].key != key
