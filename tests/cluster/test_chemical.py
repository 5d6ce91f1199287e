"""Workflows as chemistry: their order comes out of reactions, and a failed task is replaced by its spare."""

import asyncio
import re
from pathlib import Path

import pytest

from umwelt.agents.hocl.machine import Dice, Machine
from umwelt.agents.hocl.parser import parse
from umwelt.agents.hocl.terms import Solution, text
from umwelt.cluster.tasks.hocl_workflow import RULES, _atom, _value, bundled_workflows, reacted, read_workflow
from umwelt.cluster.tasks.registry import task_named
from umwelt.sandbox.errors import RunError, UmweltError


class Here:
    """A flow whose tasks are done here, side by side."""

    def __init__(self, most: int = 1000):
        self.called: list[tuple[str, tuple]] = []
        self.most = most
        self.under_way = self.max_under_way = 0

    @property
    def exhausted(self) -> bool:
        return len(self.called) > self.most

    async def run(self, name: str, *given: object) -> object:
        self.called.append((name, given))
        if self.exhausted:
            raise RunError("too many tasks")
        self.under_way += 1
        self.max_under_way = max(self.max_under_way, self.under_way)
        for _ in range(3 + (len(self.called) * 7) % 5):
            await asyncio.sleep(0)
        self.under_way -= 1
        task = task_named(name)
        return task.function(*task.bound(given, {}).args)


def come_to(program: str, seed: int = 1, most: int = 1000) -> tuple[dict, Here]:
    flow = Here(most)
    return asyncio.run(reacted(flow, parse(program, "here"), seed)), flow  # type: ignore[arg-type]


def task(
    name: str,
    waits: tuple[str, ...] = (),
    serves: tuple[str, ...] = (),
    service: str = "own.add",
    given: str = "1:1",
    kind: str = "TASK",
) -> str:
    """A task as it is written in a program."""
    sources, targets = (", ".join(f'"{one}"' for one in names) for names in (waits, serves))
    return f'"{kind}":"{name}":<"SRC":<{sources}>, "DST":<{targets}>, "SRV":"{service}", "IN":<{given}>>'


@pytest.mark.parametrize("seed", range(12))
def test_a_diamond_comes_to_the_same_whatever_the_dice(seed):
    flow = Here()
    found = asyncio.run(reacted(flow, read_workflow("diamond"), seed))
    assert found == {"first": 21, "left": 121, "right": 63, "last": 184}
    assert flow.max_under_way == 2 and len(flow.called) == 4


@pytest.mark.parametrize("seed", range(12))
def test_a_spare_takes_the_place_of_what_failed_with_all_that_it_was_given(seed):
    flow = Here()
    found = asyncio.run(reacted(flow, read_workflow("adapted"), seed))
    assert found == {"careful": 0, "last": 7}
    assert flow.called[1] == ("arithmetic.or_zero", ("divide", 42, 0))


def test_the_passing_rule_is_taken_out_of_what_failed_and_put_into_its_spare():
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


def test_a_spare_that_is_not_needed_stands_by():
    assert come_to(f'<{task("a")}, {task("b", ("a",), kind="SPARE")}, "ADAPT":"a":"b">')[0] == {"a": 1}


def test_what_one_gives_is_given_to_the_next_in_the_order_of_names():
    first, second = task("x1", serves=("c",), given="1:5"), task("x2", serves=("c",), given="1:7")
    found, flow = come_to(f"<{second}, {first}, {task('c', ('x1', 'x2'), given='')}>")
    assert flow.called[-1] == ("own.add", (5, 7)) and found["c"] == 12


@pytest.mark.parametrize("value", [1, -2.5, True, "x", [1, [2, "y"]], {"a": [3], "b": {"c": 4}}, [5], list(range(12))])
def test_values_become_atoms_and_values_again(value):
    assert _value(_atom(value, "here")) == value


@pytest.mark.parametrize(
    "value", [float("nan"), 1 << 20_000, "x" * 200_000, b"bytes"], ids=lambda one: type(one).__name__
)
def test_what_is_no_atom_is_refused(value):
    with pytest.raises(RunError, match="gives what is no atom"):
        _atom(value, "own.add")


WRONG = {
    "a failing task": (f"<{task('a', service='own.fail')}>", 'task "a" failed: 1: cannot be'),
    "one that waits for nobody": (f"<{task('a', ('a',))}>", 'task "a" never comes to its turn'),
    "an unknown task": (f"<{task('a', service='own.ad')}>", 'did you mean "own.add"'),
    "the same name twice": (f"<{task('a')}, {task('a')}>", "never comes to its turn"),
    "no task": ("<1, 2>", "holds no tasks"),
    "reactions without end": ("<(replace x::int by x + 1), 1>", "not inert after"),
    "no program": ('<"TASK":', "here"),
    "a rule for a value": (f"<{task('a', given='1:(replace 1 by 2)')}>", "a rule cannot be given"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_come_to_rest_gets_one_line(what):
    program, line = WRONG[what]
    with pytest.raises(UmweltError) as refused:
        come_to(program)
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_a_workflow_that_makes_tasks_without_end_is_stopped_at_its_bound():
    again = '(replace t::string:<"RES":<"OK":<n::int>>, ?w> by "TASK":(t + "x"):<"SRC":<>, "DST":<>, "SRV":"own.add", '
    with pytest.raises(RunError, match="too many tasks"):
        come_to(f'<{again}"IN":<n>>), {task("a")}>', most=20)


def test_the_page_s_own_program_comes_to_what_it_should():
    page = (Path(__file__).resolve().parents[2] / "docs" / "workflows.md").read_text("utf-8")
    (program,) = re.findall(r"```hocl\n(.*?)```", page, re.S)
    assert come_to(program)[0] == {"first": 21, "last": 42}


def test_bundled_workflows_are_of_the_house_and_say_what_they_do():
    assert bundled_workflows().keys() == {"diamond", "adapted"}
    for path in bundled_workflows().values():
        assert path.read_text("utf-8").startswith("// ")
