"""Programs and statements in `docs/hocl.md` are correct."""

import re
import subprocess
import sys
from pathlib import Path

from hocl_runs import outcomes_in_all_orders

from umwelt.agents.hocl import machine, parser, terms
from umwelt.agents.hocl.parser import parse

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "hocl.md").read_text("utf-8")


def programs(page: str) -> list[str]:
    return re.findall(r"```hocl\n(.*?)```", page, re.S)


def test_the_programs_of_the_page_have_the_stated_results():
    assert len(programs(PAGE)) == 2
    for source in programs(PAGE):
        assert outcomes_in_all_orders(parse(source, "page")) == {source.strip().rpartition("// comes to ")[2]}


def test_the_python_program_of_the_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["<30, far>", "<40, far>", "<100>", "(2, 40)"]


def test_the_bounds_are_those_of_the_page():
    bounds = (
        machine.Limits.reactions,
        machine.Limits.tries,
        terms.MAX_ATOMS,
        terms.MAX_BITS,
        terms.MAX_DEPTH,
        parser.MAX_PATTERNS,
    )
    assert bounds == (1_000_000, 20_000_000, 200_000, 14_000, 50, 32)
    for bound in bounds:
        assert f"{bound:,}" in PAGE
