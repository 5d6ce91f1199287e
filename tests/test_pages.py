"""The commands and programs of the README and of the guides in docs/, run as they stand there.

The README's run always, the guides' with UMWELT_LONG=1 (make test-long); otherwise the guides' commands are parsed.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from window_driver import missing

from umwelt.client.commands import cli

ROOT = Path(__file__).resolve().parent.parent
GUIDES = [f"docs/{name}.md" for name in ("cluster", "experiments", "species", "worlds")]
RUNNING = ("a world that runs", "a world that is open to others")
LONG = pytest.mark.skipif(not os.environ.get("UMWELT_LONG"), reason="takes long: run it with UMWELT_LONG=1")
MADE = {
    "README.md": ["pond.png", "tables/populations.parquet", "demo.png", "runs/experiments/light/verdict.md"],
    "docs/experiments.md": ["runs/experiments/light/verdict.md"],
    "docs/worlds.md": ["garden.toml", "pond.png", "lineage-born/lineage.png"],
}
PRINTED = {"README.md": "timid ones; the most frightened: ", "docs/species.md": ""}


@dataclass
class Page:
    """A page's parts: `commands` by the remark above their block, files by name, and programs in their order."""

    name: str

    def __post_init__(self) -> None:
        text = (ROOT / self.name).read_text("utf-8")
        self.commands: dict[str, list[str]] = {}
        for remark, block in re.findall(r"(?:<!-- ([^>]*) -->\n)?```sh\n(.*?)```", text, re.S):
            lines = [line.split("#")[0].strip() for line in block.splitlines() if line]
            self.commands.setdefault(remark, []).extend(lines)
        self.files = dict(re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", text, re.S))
        programs = re.findall(r"```python\n(.*?)```", text, re.S)
        self.programs = [program for program in programs if not re.match(r"# \S+\.py\n", program)]


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=environment()
    )


@pytest.mark.parametrize("name", GUIDES)
def test_the_commands_of_a_guide_are_known_with_their_options(name):
    lines = [line for lines in Page(name).commands.values() for line in lines if line.startswith("umwelt ")]
    assert lines
    for line in lines:
        _, subcommand, *arguments = shlex.split(line)
        command = typer.main.get_command(cli.app).commands[subcommand]
        command.make_context(subcommand, arguments)  # raises an error of usage


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", *(pytest.param(name, marks=LONG) for name in GUIDES)])
def test_every_command_and_program_does_what_the_page_says(name, tmp_path):
    page = Page(name)
    for file, content in page.files.items():
        (tmp_path / file).write_text(content, "utf-8")
    commands = page.commands.get("", [])
    assert commands or name == "docs/cluster.md"
    for command in commands:
        if missing() and command.startswith("umwelt view"):
            continue
        done = run(command.split(), tmp_path)
        assert done.returncode == 0, (command, done.stderr[-2000:])
        assert "Traceback" not in done.stderr + done.stdout, command
    for file in MADE.get(name, []):
        assert (missing() and file == "demo.png") or (tmp_path / file).stat().st_size > 300, file
    if page.programs and name in PRINTED:
        done = run([sys.executable, "-c", "".join(page.programs)], tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        assert PRINTED[name] in done.stdout and int(done.stdout.split()[-1]) > 0


def start(command: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command.split(),
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("README.md", RUNNING[0]),
        pytest.param("docs/cluster.md", RUNNING[0], marks=LONG),
        pytest.param("docs/cluster.md", RUNNING[1], marks=LONG),
    ],
)
def test_commands_on_running_worlds_do_what_they_say(tmp_path, name, remark):
    page = Page(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waiting = [command.replace("7700", str(port)) for command in page.commands[remark]]
    assert len(waiting) >= 5
    if waiting[0].startswith("umwelt keys"):
        assert run(waiting.pop(0).split(), tmp_path).returncode == 0
    started = []
    try:
        for command in waiting:
            if command.startswith(("umwelt launch", "umwelt join")):
                started.append(start(command, tmp_path))
                line = ": holds " if "join" in command else "the world begins"
                assert any(line in text for text in iter(started[-1].stdout.readline, "")), command
                continue
            if command.startswith("umwelt leave") and name == "docs/cluster.md":
                done = run([sys.executable, "-c", page.programs[0]], tmp_path)
                assert done.returncode == 0, done.stderr[-2000:]
            done = run(command.split(), tmp_path)
            assert done.returncode == 0, (command, done.stderr[-2000:])
        for process in started:
            text = process.communicate(timeout=180)[0]
            assert process.returncode == 0 and "Traceback" not in text, text
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.parametrize("target", ["run", "test", "install", "bench", "lint", "docs", "map", "test-long"])
def test_make_has_the_targets_that_the_pages_name(target):
    text = "".join((ROOT / page).read_text("utf-8") for page in ("README.md", "CONTRIBUTING.md"))
    assert f"make {target}" in text
    assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_the_readme_is_short_and_its_pictures_and_links_lead_somewhere():
    for page in ["README.md", "CONTRIBUTING.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))]:
        text = (ROOT / page).read_text("utf-8")
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((ROOT / page).parent / link).exists(), (page, link)
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) < 200
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (ROOT / picture).stat().st_size > 50_000, picture


def test_the_table_of_laws_is_that_of_the_code():
    from umwelt.agents.earth.earth import laws

    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert re.findall(r"^\| (\w+) \| (\d+) \|", text, re.M) == [(law.name, str(law.reach)) for law in laws]
    assert f"add up to {laws.light_speed} cells" in text
