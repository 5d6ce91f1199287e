"""The README's own commands and code, run as they stand there."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from window_stand import missing

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")
RUNNING = "a world that runs", "a world that is open to others"


def commands(after: str = "") -> list[str]:
    """The lines of blocks of commands: those below a remark, or those below none."""
    blocks = re.findall(r"(?:<!-- ([^>]*) -->\n)?```sh\n(.*?)```", TEXT, re.S)
    return [
        line.split("#")[0].strip() for remark, block in blocks if remark == after for line in block.splitlines() if line
    ]


COMMANDS = [command for command in commands() if not (missing() and command.startswith("umwelt view"))]
FILES = re.findall(r"```toml\n# (\S+)\n(.*?)```", TEXT, re.S)
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("readme")


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "PATH": paths}
    )


def test_there_are_commands_and_programs():
    assert len(COMMANDS) >= 12 and len(PROGRAMS) == 3 and [name for name, _ in FILES] == ["light.toml"]
    assert [len(commands(remark)) for remark in RUNNING] == [8, 5]


def test_every_command_does_what_it_says(folder):
    for name, content in FILES:
        (folder / name).write_text(content, "utf-8")
    for command in COMMANDS:
        done = run(command.split(), folder)
        assert done.returncode == 0, (command, done.stderr[-2000:])
        assert "Traceback" not in done.stderr + done.stdout, command
    assert (folder / "pond.png").stat().st_size > 50_000
    assert {path.suffix for path in (folder / "tables").iterdir()} == {".parquet"}
    assert (folder / "garden.toml").is_file()
    assert (folder / "lineage-born" / "lineage.png").stat().st_size > 20_000


def started(command: str, folder: Path) -> subprocess.Popen:
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        command.split(),
        cwd=folder,
        env={**os.environ, "PATH": paths},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.parametrize("remark", RUNNING)
def test_commands_on_running_worlds_do_what_they_say(folder, remark):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waiting = [command.replace("7700", str(port)) for command in commands(remark)]
    if waiting[0].startswith("umwelt keys"):
        assert run(waiting.pop(0).split(), folder).returncode == 0
    others = []
    try:
        for command in waiting:
            if command.startswith(("umwelt launch", "umwelt join")):
                others.append(started(command, folder))
                line = ": holds " if "join" in command else "the world begins"
                assert any(line in said for said in iter(others[-1].stdout.readline, "")), command
                continue
            done = run(command.split(), folder)
            assert done.returncode == 0, (command, done.stderr[-2000:])
        for other in others:
            said = other.communicate(timeout=60)[0]
            assert other.returncode == 0 and "Traceback" not in said, said
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_every_program_runs_in_the_order_of_the_page(folder):
    (folder / "timid.py").write_text(PROGRAMS[1], "utf-8")
    done = run([sys.executable, "-c", PROGRAMS[0] + PROGRAMS[2]], folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "timid ones; the most frightened: " in done.stdout
    frightened = int(done.stdout.rsplit(":", 1)[1])
    assert frightened > 0


def test_its_species_lives_from_a_world_file_and_is_honest(folder):
    (folder / "timid.py").write_text(PROGRAMS[1], "utf-8")
    done = run(
        [
            "umwelt",
            "launch",
            "pond",
            "--set",
            "founders.3.behaviour=timid:Timid",
            "--ticks",
            "5",
            "--check",
            "--no-view",
            "--json",
            "--run",
            "checked",
        ],
        folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("target", ["run", "test", "install", "bench", "lint", "test-mesa"])
def test_make_knows_the_targets_it_names(target):
    assert f"make {target}" in TEXT
    assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_its_pictures_are_there_and_its_rooms_and_laws_are_those_of_the_house():
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT):
        assert (ROOT / picture).stat().st_size > 50_000, picture
    for room in re.findall(r"^\| `(\w+)/` \|", TEXT, re.M):
        assert (ROOT / room).is_dir(), room
    from umwelt.agents.earth.earth import laws

    assert re.findall(r"^\| (\w+) \| (\d+) \|", TEXT, re.M) == [(law.name, str(law.reach)) for law in laws]
    assert f"add up to {laws.light_speed} cells" in TEXT
