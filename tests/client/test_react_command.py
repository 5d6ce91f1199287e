"""`umwelt react`: its output, `--drop`, `--trace` and `--all`, and errors of one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from umwelt.agents.hocl.programs import bundled_programs, read_program
from umwelt.client.commands.cli import main
from umwelt.sandbox.errors import ProgramError

MAX = "let max = replace x::int, y::int by x if x >= y in <max, 2, 9, 3>"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.hocl").write_text(MAX, "utf-8")


def umwelt(capsys, *arguments: str, code: int = 0) -> str:
    """Runs a command, checks its exit code; returns standard output, or standard error if the code is not 0."""
    with pytest.raises(SystemExit) as ended:
        main(["react", *arguments])
    said = capsys.readouterr()
    assert (ended.value.code or 0) == code, said.err
    return said.err if code else said.out


def test_a_program_is_run_and_its_inert_solution_is_printed_in_one_line(capsys):
    assert umwelt(capsys, "mine.hocl") == "<9, max>\n"
    assert umwelt(capsys, "largest_prime") == "<7, max>\n"


def test_dropped_atoms_are_added_one_after_another(capsys):
    dropped = ["--drop", "12", "--drop", "-3", "--drop", '"a":(1:2)']
    assert umwelt(capsys, "mine.hocl", *dropped) == '<12, "a":(1:2), max>\n'
    assert umwelt(capsys, "mine.hocl", "--drop", "max") == "<9, max, max>\n"


def test_a_trace_shows_each_reaction_and_the_result_last(capsys):
    lines = umwelt(capsys, "mine.hocl", "--trace", "--drop", "12").splitlines()
    assert len(lines) == 5 and lines[-3:] == ["<9, max>: 12 drops in", "max: 9, 12 -> 12", "<12, max>"]
    assert all(line.startswith("max: ") and " -> " in line for line in lines[:2])
    assert "  sieve: " in umwelt(capsys, "largest_prime", "--trace")
    Path("plain.hocl").write_text("<replace-one <?w> by w, <1>>", "utf-8")
    assert umwelt(capsys, "plain.hocl", "--trace").startswith("<(replace-one <?w> by w, <1>)>")


def test_all_outcomes_are_a_line_each(capsys):
    assert umwelt(capsys, "queens", "--all") == "<2:4:1:3>\n<3:1:4:2>\n"
    assert len(umwelt(capsys, "majority", "--all").splitlines()) == 5
    assert umwelt(capsys, "mine.hocl", "--all", "--drop", "12") == "<12, max>\n"


def test_the_outcome_is_one_json_object(capsys):
    told = json.loads(umwelt(capsys, "mine.hocl", "--json", "--seed", "4").splitlines()[-1])
    assert told == {"program": "mine.hocl", "solution": "<9, max>", "reactions": 2, "seed": 4}
    told = json.loads(umwelt(capsys, "queens", "--json", "--all").splitlines()[-1])
    assert told["outcomes"] == ["<2:4:1:3>", "<3:1:4:2>"]


def test_the_seed_determines_the_outcome(capsys):
    found = [umwelt(capsys, "split", "--seed", str(seed)) for seed in (1, 2, 3, 4, 5, 6, 1)]
    assert found[0] == found[-1] and len(set(found)) > 2


def test_without_a_name_or_with_an_unknown_one_the_bundled_are_named(capsys):
    for arguments in ([], ["no_such_program"]):
        line = umwelt(capsys, *arguments, code=2)
        assert line.count("\n") == 1 and "bundled are allocation, delivered, " in line
        assert all(name in line for name in bundled_programs())
    assert umwelt(capsys, "prims", code=2) == 'umwelt: no program "prims": did you mean "primes"? [program]\n'


MISTAKES = {
    "syntax": (["bad.hocl"], 'bad.hocl:2:27: "y" has no type: write y::int (float, string, bool, solution, rule)'),
    "no file": (["no.hocl"], "no.hocl: cannot be read: No such file or directory: give the path of a .hocl file"),
    "a folder": (["folder.hocl"], "folder.hocl: cannot be read: Is a directory: "),
    "not text": (["bytes.hocl"], "bytes.hocl: not UTF-8 at byte 1: save it as UTF-8 text"),
    "too long": (["long.hocl"], "long.hocl: 4,194,305 letters: use at most 1,048,576"),
    "long name": (["x" * 5000], "use a shorter name"),
    "bad drop": (["mine.hocl", "--drop", "7 +"], "--drop 7 +:1:4: the end where an atom should be: write what"),
    "two drops": (["mine.hocl", "--drop", "7, 8"], '--drop 7, 8:1:2: "," after the end: take it out'),
    "endless": (["endless.hocl", "--most", "50"], "endless.hocl: not inert after 50 reactions: allow more, or give"),
    "circles": (["circles.hocl", "--all"], "circles.hocl: never becomes inert: give a rule a condition"),
    "too many ways": (["primes", "--all", "--most", "50"], "more than 50 reactions before all outcomes were found"),
    "trace of all": (
        ["mine.hocl", "--all", "--trace"],
        "--trace --all: all outcomes have no single order of reactions",
    ),
    "no reactions": (["mine.hocl", "--most", "0"], "Invalid value for '--most': "),
    "negative seed": (["mine.hocl", "--seed", "-1"], "Invalid value for '--seed': "),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_one_line(capsys, what):
    arguments, expected = MISTAKES[what]
    Path("bad.hocl").write_text("// the largest\nlet max = replace x::int, y by x in <max, 2>", "utf-8")
    Path("folder.hocl").mkdir()
    Path("bytes.hocl").write_bytes(b"<\xff>")
    Path("long.hocl").write_bytes(b" " * (1 << 23))
    Path("endless.hocl").write_text("let up = replace x::int by x + 1 in <up, 0>", "utf-8")
    Path("circles.hocl").write_text("let turn = replace x::int by 3 - x in <turn, 1>", "utf-8")
    line = umwelt(capsys, *arguments, code=2)
    assert line.count("\n") == 1 and line.startswith("umwelt: ") and expected in line


def test_ctrl_c_ends_it_with_one_line():
    Path("endless.hocl").write_text("let up = replace x::int by 1 - x in <up, 0>", "utf-8")
    command = [
        sys.executable,
        "-m",
        "umwelt.client.commands.cli",
        "react",
        "endless.hocl",
        "--trace",
        "--most",
        "100000000",
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with Path("trace.txt").open("w") as trace:
        running = subprocess.Popen(command, stdout=trace, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            while Path("trace.txt").stat().st_size < 1000 and running.poll() is None:
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            said = running.communicate(timeout=180)[1]
        finally:
            running.kill()
    assert running.returncode == 130 and said.count("\n") == 1 and "Traceback" not in said


def test_a_file_takes_precedence_over_a_bundled_program_of_its_name(tmp_path):
    Path("primes").write_text("<2>", "utf-8")
    assert str(read_program("primes")) == "<2>"
    Path("marked.hocl").write_bytes(b"\xef\xbb\xbf<1>")  # some editors begin a file with a byte order mark
    assert str(read_program("marked.hocl")) == "<1>"
    with pytest.raises(ProgramError, match=r"no program .*bundled are"):
        read_program(str(tmp_path))
