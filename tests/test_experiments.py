"""Every bundled experiment runs in its quick form, and the expectations that apply to this form hold."""

import math
import re
import tomllib
from pathlib import Path

import pytest
from pyarrow import parquet

from umwelt.agents.world_file import convert
from umwelt.client.commands.cli import main
from umwelt.client.experiments.outcomes import Finding
from umwelt.client.experiments.plan import bundled_experiments
from umwelt.client.experiments.schema import ExperimentFile

FOUND = Path(__file__).parent.parent / "docs" / "experiments"


@pytest.mark.parametrize("name", bundled_experiments())
@pytest.mark.slow
def test_the_quick_form_comes_out_as_expected(name, tmp_path):
    with pytest.raises(SystemExit) as left:
        main(["experiment", name, "--quick", "--to", str(tmp_path)])
    assert left.value.code == 0
    assert (tmp_path / "quick" / "verdict.md").is_file()


@pytest.mark.parametrize("name", [path.parent.name for path in sorted(FOUND.glob("*/verdict.md"))])
def test_a_verdict_in_docs_belongs_to_the_present_file(name):
    file = convert(tomllib.loads(bundled_experiments()[name].read_text("utf-8")), ExperimentFile)
    verdict = (FOUND / name / "verdict.md").read_text("utf-8")
    seeds = list(range(1, file.seeds + 1)) if isinstance(file.seeds, int) else file.seeds
    assert f"\n{file.summary}\n" in verdict and (not file.source or f"Source: {file.source}\n" in verdict)
    assert f": {file.world}, " in verdict and f" {file.ticks:,} ticks" in verdict and f"seeds {seeds}." in verdict
    rows = [line for line in verdict.splitlines() if line.startswith("| ")][2:]
    for row, one in zip(rows, file.expect, strict=True):
        says, value, bounds, _, held, holds = row.strip("| ").split(" | ")
        assert (says, value, bounds) == (one.says, one.value, Finding(one, (), (), 0, 0).bounds)
        if held != "all together":
            count, runs = re.match(r"(\d+) of (\d+)", held).groups()
            wanted = min(one.in_runs or int(runs), int(runs))
            assert held.endswith(f" ({wanted} wanted)") == (wanted < int(runs))
            assert holds == ("yes" if int(count) >= wanted else "NO")
    _outcomes_agree(name, file, rows)
    assert f"[`{name}`]({name}/verdict.md)" in (FOUND / "README.md").read_text("utf-8")


def _outcomes_agree(name: str, file: ExperimentFile, rows: list[str]) -> None:
    """Asserts that a verdict has the expectations of the file, and the table as many runs within bounds as it says."""
    table = parquet.read_table(FOUND / name / "outcomes.parquet")
    told = [one.says for one in file.expect if one.says in table.column_names]
    assert {column for column in table.column_names if " " in column} == set(told)
    for row, one in zip(rows, file.expect, strict=True):
        found = re.search(r" (\d+) of (\d+)[^|]* \|[^|]*\|$", row)
        if found is None:  # the expectation is about all runs together
            continue
        values = [value for value in table.column(one.says).to_pylist() if value is not None]
        held = sum(one.holds(value) for value in values if not math.isnan(value))
        assert (held, len(values)) == tuple(map(int, found.groups())), one.says
