"""Wrong usage of the command, and Ctrl-C while a world is generated: one line, the exit code, and no files."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import TEXT, small_run, small_world

import umwelt.cluster
from umwelt.agents.open_world import begin
from umwelt.client.commands.cli import main
from umwelt.client.pictures import bodies, picture


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("runs") / "small-1"
    small_run(folder)
    return str(folder)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """A function that runs a command that must fail and write nothing; it returns the one line of the error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 2) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        said = capsys.readouterr()
        assert stopped.value.code == code
        assert said.out == "" and said.err.startswith("umwelt: ") and said.err.count("\n") == 1
        assert list(tmp_path.rglob("*")) == []
        return said.err.strip()

    return run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["launch", "golden", "--ticks", "-1"], "'--ticks'"),
        (["launch", "golden", "--seed", "x"], "'--seed'"),
        (["launch", "golden", "--sed", "1"], "No such option: --sed"),
        (["launch", "golden", "--run"], "--run"),
        (["launch", "golden", "extra"], "extra"),
        (["launch"], "Missing argument 'WORLD'"),
        (["lunch"], "No such command 'lunch'"),
        (["--nope"], "No such option: --nope"),
        (["export", "x"], "Missing option '--to'"),
        (["picture", "x", "y.png", "--zoom", "q"], "'--zoom'"),
        (["launch", "golden", "--nodes", "-1"], "'--nodes'"),
        (["launch", "golden", "--ticks-per-exchange", "65"], "'--ticks-per-exchange'"),
        (["verify", "x", "--nodes", "0"], "'--nodes'"),
        (["fork", "x"], "Missing option '--tick'"),
        (["join"], "Missing argument 'ADDRESS'"),
        (["leave"], "Missing argument 'NODE'"),
    ],
)
def test_a_mistake_in_usage_is_one_line(refused, arguments, expected):
    line = refused(*arguments)
    assert expected in line and line.endswith("--help [usage]")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--size", "²x²"], "--size ²x²: write it as in"),
        (["--size", "٣٢x٣٢"], "write it as in"),
        (["--size", "9" * 5000 + "x9"], "write it as in"),
        (["--size", "20000x20"], "at most 16383 on a side"),
        (["--size", "16x4000000"], "at most 16383 on a side"),
        (["--size", "16000x16000"], "megapixels"),
        (["--at", ""], "--at : write it as in --at 64,32"),
        (["--at", "48,0"], "--at 48,0: the world is 48 x 40 cells: use 0,0 to 47,39"),
        (["--at", "0,40"], "--at 0,40: the world is"),
        (["--at", "-1,4"], "write it as in"),
        (["--zoom", "0.1", "--size", "4000x4000"], "--zoom 0.1: shows the world more than"),
        (["--zoom", "nan"], "--zoom nan: use 0.1 to 200"),
    ],
)
def test_invalid_arguments_of_a_picture_are_refused_before_drawing(refused, kept, monkeypatch, arguments, expected):
    monkeypatch.setattr(picture, "restore_region", None)
    assert expected in refused("picture", kept, "out.webp", *arguments)


def test_a_picture_that_fails_leaves_the_older_one(tmp_path):
    out = tmp_path / "out.webp"
    out.write_bytes(b"older")
    with pytest.raises(Exception, match=r"out\.webp: cannot be written"):
        picture.write_picture(np.zeros((20, 20000, 3), np.uint8), out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.webp"] and out.read_bytes() == b"older"


def test_the_picture_does_not_depend_on_how_many_bodies_are_drawn_at_once(monkeypatch):
    region = begin(small_world())
    at_once = picture.draw_region(region, 160, 120, None, 12.0)
    monkeypatch.setattr(bodies, "HELD_PIXELS", 2000)
    assert np.array_equal(picture.draw_region(region, 160, 120, None, 12.0), at_once)


def test_no_arguments_show_the_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert not ended.value.code and "launch" in capsys.readouterr().out


def test_help_shows_the_defaults_of_options(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    told = {"experiment": "one a core", "audit": "one day of its climate", "duel": "half of the world file"}
    for command, default in told.items():
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert f"[default: ({default}" in capsys.readouterr().out


def test_ctrl_c_while_a_world_is_made_is_one_line(refused, monkeypatch):
    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(umwelt.cluster, "begin_run", interrupted)
    assert "stopped at once; what was saved before is complete" in refused("launch", "golden", code=130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_launch_stopped_in_its_first_save_leaves_nothing(tmp_path, number):
    (tmp_path / "mine.toml").write_text(TEXT)
    script = (
        "import time\nfrom umwelt.client.commands.cli import main\nfrom umwelt.sandbox.snapshot import writer\n"
        "writer._write = lambda *them: (print('writing', flush=True), time.sleep(60))\n"
        "main(['launch', 'mine.toml', '--no-view'])"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout.readline() == b"writing\n"
    running.send_signal(number)
    _, said = running.communicate(timeout=30)  # the first save is slowed down to a minute
    assert running.returncode == 130
    assert said.decode() == "umwelt: stopped at once; what was saved before is complete\n"
    assert [path.name for path in Path(tmp_path).iterdir()] == ["mine.toml"]
