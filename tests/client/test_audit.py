"""`umwelt audit`: its output and exit codes."""

import json
import shutil
from pathlib import Path

import pytest
from small_runs import small_run

from umwelt.agents.measures.cycles import Turnover
from umwelt.agents.world_file import read_world
from umwelt.client.commands.audit import _format_residence
from umwelt.client.commands.cli import main
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.audit import CycleResult
from umwelt.cluster.run.replay import restore_region
from umwelt.cluster.run.store import Store
from umwelt.sandbox import snapshot


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return small_run(tmp_path_factory.mktemp("runs") / "run", 16).folder


def umwelt(capsys, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Runs a command, checks its exit code, and returns standard output and standard error."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capsys.readouterr()
    assert (ended.value.code or 0) == code, said.err
    return said.out, said.err


def test_the_audit_of_a_closed_run_prints_a_table_of_its_pools(run, capsys):
    out, err = umwelt(capsys, "audit", str(run))
    assert (
        err == "" and "closed: no atom was gained or lost from tick 0 to 16: 2 snapshots and 3 journalled ticks" in out
    )
    assert "cycles, measured from tick 16 to 76" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["water,", "molecules"] in rows and ["carbon,", "atoms"] in rows and ["hydrogen,", "atoms"] not in rows
    soil = next(row for row in rows if row[:2] == ["soil", "water"])
    stock, _, outflow, ticks, days = (float(word.replace(",", "")) for word in soil[2:])
    assert ticks == pytest.approx(60 * stock / outflow, rel=0.01) and days == pytest.approx(ticks / 60, rel=0.01)


def test_json_is_one_object_with_all_of_it(run, capsys):
    out, _ = umwelt(capsys, "audit", str(run), "--ticks", "8", "--json")
    found = json.loads(out)
    assert found["closed"] and found["differs_tick"] is None and set(found["elements"]) == {"C", "H", "N", "O"}
    assert found["measured"] == {"from_tick": 16, "ticks": 8, "day_ticks": 60}
    pool = found["cycles"]["carbon"]["pools"]["carbon dioxide in air"]
    assert pool["residence_ticks"] == pytest.approx(8 * pool["stock_mean"] / pool["outflow"])
    assert pool["inflow"] - pool["outflow"] == pool["stock_last"] - pool["stock_first"]
    assert {flow["process"] for flow in found["cycles"]["hydrogen"]["flows"]} >= {"decay", "sweat and death"}


def test_a_molecule_too_many_is_one_line_and_exit_code_1(run, capsys, tmp_path):
    folder = Path(shutil.copytree(run, tmp_path / "other"))
    store = Store(folder)
    world, region, _ = restore_region(store, 16)
    region.owned_view("mineral")[3, 3] += 1
    shutil.rmtree(store.path(16))
    snapshot.save(store.path(16), region, world.text, world.name)
    out, err = umwelt(capsys, "audit", str(folder), "--ticks", "3", code=1)
    assert "closed" not in out and "soil mineral" in out
    assert err.startswith(f"umwelt: {folder}: tick 16: ") and "atoms of N" in err and err.count("\n") == 1
    out, _ = umwelt(capsys, "audit", str(folder), "--ticks", "3", "--json", code=1)
    assert json.loads(out)["differs_element"] == "N" and not json.loads(out)["closed"]


def test_a_world_without_matter_says_so(capsys, tmp_path):
    folder = begin_run(read_world("wolf_sheep", {"width": 64, "height": 64}), tmp_path / "ws").folder
    out, _ = umwelt(capsys, "audit", str(folder))
    assert out == f"{folder}: the laws of wolf_sheep have no substances: there is no matter to audit\n"
    assert not json.loads(umwelt(capsys, "audit", str(folder), "--json")[0])["matter"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [(["nowhere"], "nowhere: is not a run"), (["nowhere", "--ticks", "0"], "'--ticks'"), ([], "Missing argument")],
)
def test_mistakes_are_one_line(capsys, arguments, line):
    out, err = umwelt(capsys, "audit", *arguments, code=2)
    assert out == "" and line in err and err.startswith("umwelt: ") and err.count("\n") == 1


def test_the_residence_time_of_a_pool_without_outflow_is_longer_than_measured():
    went = CycleResult(0, 90, 60, [], [])
    assert _format_residence(Turnover("resin", 90, 5, 5, 450, 0, 0), went) == ("more than 90", "more than 1.5")
    assert _format_residence(Turnover("resin", 90, 0, 0, 0, 0, 0), went) == ("", "")
    assert _format_residence(Turnover("resin", 90, 0, 0, 4500, 5, 5), went) == ("900", "15")
