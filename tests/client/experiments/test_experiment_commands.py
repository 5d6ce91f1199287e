"""Commands in experiments: scattered over an area, and varied between points; figures over all runs."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from small_runs import TEXT

from umwelt.client.experiments.outcomes import Run, analyse_across, judge
from umwelt.client.experiments.plan import Experiment, read_experiment
from umwelt.sandbox.errors import WorldFileError

SCATTERED = """
world = "mine.toml"
ticks = 60
measures = ["populations", "patches"]
analyses = ["foragers"]
across = ["matching"]
seeds = 2
[[commands]]
every = 2
do = {command = "drop", substance = "detritus", count = 12}
over = [38, 4, 4, 3]
[[commands]]
first = 10
do = {command = "drop", y = 1, x = 1, substance = "detritus", count = 12}
[[points]]
"commands.0.do.count" = 10
"commands.1.do.count" = 10
[[points]]
"commands.0.do.count" = 5
"commands.1.do.count" = 15
[[expect]]
says = "they match"
value = "matching.slope"
between = [0.5, 1]
"""


def read(folder: Path, text: str = SCATTERED) -> Experiment:
    (folder / "mine.toml").write_text(TEXT)
    (folder / "tried.toml").write_text(text)
    return read_experiment(str(folder / "tried.toml"))


def drops(experiment: Experiment, trial: int) -> list[tuple[int, dict]]:
    """Returns the ticks and contents of the commands of a trial."""
    return [(command.tick, msgspec.json.decode(command.content)) for command in experiment.trials[trial].due]


def test_scattered_commands_fall_on_many_cells_of_the_area_and_always_the_same(tmp_path):
    found = [one for one in drops(read(tmp_path), 0) if one[1]["x"] != 1]
    assert [tick for tick, _ in found] == list(range(0, 60, 2))
    cells = {(command["y"], command["x"]) for _, command in found}
    assert cells <= {(y, x) for y in (38, 39, 0, 1) for x in (4, 5, 6)}  # across the seam
    assert len(cells) > 6
    assert [one for one in drops(read(tmp_path), 0) if one[1]["x"] != 1] == found
    assert [one for one in drops(read(tmp_path), 1) if one[1]["x"] != 1] != found, "another seed draws other cells"


def test_points_have_commands_of_their_own(tmp_path):
    experiment = read(tmp_path)
    counts = [{command["count"] for tick, command in drops(experiment, 2 * point) if tick < 10} for point in (0, 1)]
    assert counts == [{10}, {5}]
    assert {command["count"] for tick, command in drops(experiment, 2)} == {5, 15}
    assert experiment.trials[0].key != experiment.trials[1].key


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[38, 4, 4, 3]", "[38, 4, 0, 3]", r"commands\[0\]: over = \[38, 4, 0, 3\]"),
        ("[38, 4, 4, 3]", "[38, 4, 41, 3]", r"commands\[0\]: over = \[38, 4, 41, 3\]"),
        ('"commands.1.do.count" = 15', '"commands.2.do.count" = 15', "commands.2.do.count: no entry"),
        ('["matching"]', '["matcing"]', "matching"),
    ],
)
def test_invalid_commands_are_refused_before_the_first_run(tmp_path, old, new, line):
    with pytest.raises(WorldFileError, match=line):
        read(tmp_path, SCATTERED.replace(old, new))


def test_figures_of_all_runs_are_judged_once(tmp_path):
    experiment = read(tmp_path)
    shares = (0.5, 0.7, 0.9, 0.7)
    runs = [
        Run(trial, {}, {"foragers.east_share": share}) for trial, share in zip(experiment.trials, shares, strict=True)
    ]
    found = analyse_across(runs, ["matching"])
    assert found["matching.slope"] == pytest.approx(0.8)  # 0.6 at half of the food, 0.8 at three quarters
    finding = judge(experiment, runs)[0]
    assert finding.values == (found["matching.slope"],) and finding.holds
    with pytest.raises(WorldFileError, match=r"matching.*commands\.0\.do\.count"):
        analyse_across([Run(replace(experiment.trials[0], values={}), {}, {})], ["matching"])
