"""Workflows as HOCL programs: reactions decide the order, and a failed task is replaced by its spare."""

import asyncio
import re
from pathlib import Path

import pytest

from umwelt.agents.hocl.machine import Dice, Machine
from umwelt.agents.hocl.parser import parse
from umwelt.agents.hocl.terms import Solution, text
from umwelt.cluster.tasks.hocl_workflow import RULES, _to_atom, _to_value, bundled_workflows, read_workflow, run_program
from umwelt.cluster.tasks.registry import find_task
from umwelt.sandbox.errors import RunError, UmweltError


class Here:
    """A flow that executes tasks in this process, concurrently; at most `most` of them.

    `called` has the names and arguments of all tasks so far.
    """

    def __init__(self, most: int = 1000):
        self.called: list[tuple[str, tuple]] = []
        self.most = most
        self.under_way = self.max_under_way = 0

    @property
    def is_exhausted(self) -> bool:
        return len(self.called) > self.most

    async def run(self, name: str, *given: object) -> object:
        self.called.append((name, given))
        if self.is_exhausted:
            raise RunError("too many tasks")
        self.under_way += 1
        self.max_under_way = max(self.max_under_way, self.under_way)
        for _ in range(3 + (len(self.called) * 7) % 5):
            await asyncio.sleep(0)
        self.under_way -= 1
        task = find_task(name)
        return task.function(*task.bind(given, {}).args)


def outcome_of(program: str, seed: int = 1, most: int = 1000) -> tuple[dict, Here]:
    """Runs a workflow; returns its result, and the flow that ran its tasks."""
    flow = Here(most)
    return asyncio.run(run_program(flow, parse(program, "here"), seed)), flow  # type: ignore[arg-type]


def task(
    name: str,
    waits: tuple[str, ...] = (),
    serves: tuple[str, ...] = (),
    service: str = "own.add",
    given: str = "1:1",
    kind: str = "TASK",
) -> str:
    """Returns the text of a task for a HOCL workflow."""
    sources, targets = (", ".join(f'"{one}"' for one in names) for names in (waits, serves))
    return f'"{kind}":"{name}":<"SRC":<{sources}>, "DST":<{targets}>, "SRV":"{service}", "IN":<{given}>>'


@pytest.mark.parametrize("seed", range(12))
def test_the_results_of_a_diamond_do_not_depend_on_the_dice(seed):
    flow = Here()
    found = asyncio.run(run_program(flow, read_workflow("diamond"), seed))
    assert found == {"first": 21, "left": 121, "right": 63, "last": 184}
    assert flow.max_under_way == 2 and len(flow.called) == 4


@pytest.mark.parametrize("seed", range(12))
def test_a_spare_replaces_a_failed_task_and_gets_its_arguments(seed):
    flow = Here()
    found = asyncio.run(run_program(flow, read_workflow("adapted"), seed))
    assert found == {"careful": 0, "last": 7}
    assert flow.called[1] == ("arithmetic.or_zero", ("divide", 42, 0))


def test_the_rule_that_passes_results_on_moves_from_a_failed_task_to_its_spare():
    tasks = task("a", serves=("c",)), task("b", ("a",), kind="SPARE"), task("c", ("a",))
    machine = Machine(parse(f'<{", ".join(tasks)}, "ADAPT":"a":"b">', "here"), Dice(1))
    for rule in parse(RULES, "rules").start.atoms:
        machine.drop(rule)

    def inside() -> dict[str, str]:
        machine.react()
        return {one[0]: text(one[1]) for one in machine.solution.atoms if type(one) is tuple and len(one) == 2}

    before = inside()
    assert "pass" in before["a"] and "pass" not in before["b"]
    machine.drop(("DONE", "a", Solution([("FAILED", "no")])))
    after = inside()
    assert "pass" not in after["a"] and "pass" in after["b"] and '"SRC":<"b">' in after["c"]


def test_an_unneeded_spare_does_not_run():
    assert outcome_of(f'<{task("a")}, {task("b", ("a",), kind="SPARE")}, "ADAPT":"a":"b">')[0] == {"a": 1}


def test_arguments_from_several_tasks_are_in_the_order_of_their_names():
    first, second = task("x1", serves=("c",), given="1:5"), task("x2", serves=("c",), given="1:7")
    found, flow = outcome_of(f"<{second}, {first}, {task('c', ('x1', 'x2'), given='')}>")
    assert flow.called[-1] == ("own.add", (5, 7)) and found["c"] == 12


@pytest.mark.parametrize("value", [1, -2.5, True, "x", [1, [2, "y"]], {"a": [3], "b": {"c": 4}}, [5], list(range(12))])
def test_values_become_atoms_and_values_again(value):
    assert _to_value(_to_atom(value, "here")) == value


@pytest.mark.parametrize(
    "value", [float("nan"), 1 << 20_000, "x" * 200_000, b"bytes"], ids=lambda one: type(one).__name__
)
def test_values_that_are_not_atoms_are_refused(value):
    with pytest.raises(RunError, match="its result is not an atom"):
        _to_atom(value, "own.add")


WRONG = {
    "a failing task": (f"<{task('a', service='own.fail')}>", 'task "a" failed: 1: cannot be'),
    "one that waits for nobody": (f"<{task('a', ('a',))}>", 'task "a" never begins'),
    "an unknown task": (f"<{task('a', service='own.ad')}>", 'did you mean "own.add"'),
    "the same name twice": (f"<{task('a')}, {task('a')}>", "never begins"),
    "no task": ("<1, 2>", "holds no tasks"),
    "reactions without end": ("<(replace x::int by x + 1), 1>", "not inert after"),
    "no program": ('<"TASK":', "here"),
    "a rule for a value": (f"<{task('a', given='1:(replace 1 by 2)')}>", "a rule cannot be an argument"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_workflow_that_cannot_complete_is_one_line(what):
    program, line = WRONG[what]
    with pytest.raises(UmweltError) as refused:
        outcome_of(program)
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_a_workflow_that_makes_tasks_without_end_is_stopped():
    again = '(replace t::string:<"RES":<"OK":<n::int>>, ?w> by "TASK":(t + "x"):<"SRC":<>, "DST":<>, "SRV":"own.add", '
    with pytest.raises(RunError, match="too many tasks"):
        outcome_of(f'<{again}"IN":<n>>), {task("a")}>', most=20)


def test_the_program_in_the_documentation_has_the_stated_results():
    page = (Path(__file__).resolve().parents[2] / "docs" / "workflows.md").read_text("utf-8")
    (program,) = re.findall(r"```hocl\n(.*?)```", page, re.S)
    assert outcome_of(program)[0] == {"first": 21, "last": 42}


def test_bundled_workflows_begin_with_a_comment():
    assert bundled_workflows().keys() == {"diamond", "adapted"}
    for path in bundled_workflows().values():
        assert path.read_text("utf-8").startswith("// ")
