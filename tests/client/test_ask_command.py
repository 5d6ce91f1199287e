"""`umwelt ask`: queries, tasks and chemical workflows on a running world, as text and as JSON."""

import json
import re
from pathlib import Path

import pytest
from local_cluster import LocalCluster
from sharded_regions import golden_world

from umwelt.client.commands.ask import read_arguments
from umwelt.client.commands.cli import main
from umwelt.client.connection.api import connect


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(golden_world(96, 80), 2, tick_s=0.04) as found, connect(found.address) as world:
        world.wait(2, 60)
        world.pause()
        yield found


def said_by(cluster, capsys, *arguments: str) -> str:
    """Runs `umwelt ask` on the cluster; returns its output."""
    with pytest.raises(SystemExit) as ended:
        main(["ask", cluster.address, *arguments])
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    return said.out


def test_a_census_for_people_and_as_json(cluster, capsys):
    told = json.loads(said_by(cluster, capsys, "census", "--json"))
    assert told["species"]["grazer"]["count"] > 0 and told["whole"]
    said = said_by(cluster, capsys, "census")
    assert f"tick {told['tick']}" in said and "grazer" in said and str(told["species"]["grazer"]["count"]) in said


def test_a_heat_map_is_printed_as_shades(cluster, capsys):
    said = said_by(cluster, capsys, "heatmap", "water", "cell=8").splitlines()
    assert len(said) == 13 and all(len(line) == 20 for line in said[:12]) and "@@" in "".join(said[:12])
    assert "water" in said[12] and "8 x 8 cells" in said[12]
    told = json.loads(said_by(cluster, capsys, "heatmap", "of=grazer", "rectangle=0,0,40,40", "--json"))
    assert told["rectangle"] == [0, 0, 40, 40] and len(told["values"]) == 40


def test_the_nearest_and_a_task_of_one_s_own(cluster, capsys):
    assert "cells away" in said_by(cluster, capsys, "nearest", "grazer", "10", "x=20.5")
    assert said_by(cluster, capsys, "own.add", "2", "other=40") == "42\n"
    assert json.loads(said_by(cluster, capsys, "spin", "1", "--json")) == (1103515245 + 12345) & 0x7FFFFFFF


@pytest.mark.parametrize("name", ["diamond", "adapted"])
def test_a_chemical_workflow_runs_on_the_nodes(cluster, capsys, name):
    told = json.loads(said_by(cluster, capsys, "--workflow", name))
    assert told["last"] == {"diamond": 184, "adapted": 7}[name]


def test_the_workflow_of_the_documentation_runs(cluster, capsys):
    page = (Path(__file__).resolve().parents[2] / "docs" / "workflows.md").read_text("utf-8")
    program = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    exec(program.replace("runs/shared", cluster.address), {})
    assert "'species': 'hunter'" in capsys.readouterr().out


WRONG = [
    ((), "name one of census"),
    (("census", "--workflow", "diamond"), "name one of census"),
    (("own.nothing",), "no task"),
    (("nearest", "grazer"), "missing a required argument"),
    (("nearest", "wolf", "1", "1"), "wolf"),
    (("census", "1", "2"), "too many"),
    (("heatmap", "gold"), "gold"),
    (("own.add", "one=1", "2"), "put it before"),
    (("--workflow", "nothing"), "no program"),
    (("--workflow", "diamond", "--within", "-1"), "--within"),
    (("own.forever", "--within", "0.3"), "was ended after"),
    (("census", "rectangle=x"), "rectangle"),
    (("heatmap", "cell=x"), "cell"),
    (("lineage", "x"), "being"),
]


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=lambda one: " ".join(one)[:40])
def test_a_mistake_is_one_line(cluster, capsys, arguments, line):
    with pytest.raises(SystemExit) as ended:
        main(["ask", cluster.address, *arguments])
    said = capsys.readouterr()
    assert ended.value.code == 2 and line in said.err and said.err.count("\n") == 1 and said.out == ""


def test_values_are_json_where_they_can_be():
    given = ["3", "-1.5", "grazer", "1,2,3,4", '"5"', "[1, 2]", "a=1", "b=x=y", "c="]
    assert read_arguments(given) == ([3, -1.5, "grazer", [1, 2, 3, 4], "5", [1, 2]], {"a": 1, "b": "x=y", "c": ""})
