"""Runs Mesa's own tests with Umwelt's `Model`, `AgentSet` and `Agent` in place of Mesa's: all of them must pass.

    python tests/mesa_suite.py            fetch, install, run; fails if fewer than 353 pass
    python tests/mesa_suite.py --plain    the same tests on Mesa itself, to compare

All files are under .cache/mesa: Mesa's source package, which includes its tests, and a separate environment, because
Mesa's viewers need older libraries than Umwelt. Existing files there are used again.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

MESA = "3.3.1"
MIN_PASSED = 353
ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "mesa"
SOURCE = CACHE / f"mesa-{MESA}"
PYTHON = CACHE / "venv" / "bin" / "python"
NEEDS = [f"mesa[rec]=={MESA}", "pandas<3", "ipyvuetify<3", "starlette<1", "pytest", "pytest-mock"]
WITHOUT = ["tests/test_examples_viz.py"]
"""Tests that need a browser."""

PLUGIN = '''
"""Puts Umwelt's classes where Mesa's tests, examples and spaces look for Mesa's."""
import importlib
import sys

import mesa.agent
import mesa.model

from umwelt.agents import Agent, AgentSet, World

REPLACED = {"Agent": Agent, "AgentSet": AgentSet, "Model": World}
KEPT = ("mesa.agent", "mesa.model", "mesa.mesa_logging")

for module in (mesa.agent, mesa.model):
    for name, cls in REPLACED.items():
        if hasattr(module, name):
            setattr(module, name, cls)
# the rest of Mesa is loaded again, so that its own subclasses (of cells, spaces, examples) derive from Umwelt's classes
for name in [name for name in sys.modules if name.split(".")[0] == "mesa" and name not in KEPT]:
    del sys.modules[name]
mesa = importlib.import_module("mesa")
for name in KEPT:
    setattr(mesa, name.split(".")[1], sys.modules[name])
assert mesa.Agent is Agent and mesa.Model is World and mesa.agent.AgentSet is AgentSet
assert issubclass(mesa.discrete_space.CellAgent, Agent)
'''


def run(*command: str | Path) -> None:
    """Runs a command; ends the program if it fails."""
    process = subprocess.run([str(part) for part in command], check=False)
    if process.returncode:
        sys.exit(f"failed ({process.returncode}): {' '.join(str(part) for part in command)}")


def fetch() -> None:
    """Downloads and unpacks Mesa's source package."""
    if (SOURCE / "tests").is_dir():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"mesa-{MESA}.tar.gz"
    if not archive.exists():
        wanted: list[str | Path] = ["-q", f"mesa=={MESA}", "--no-deps", "--no-binary", ":all:", "-d", CACHE]
        run(sys.executable, "-m", "pip", "download", *wanted)
    with tarfile.open(archive) as packed:
        packed.extractall(CACHE, filter="data")


def install() -> None:
    """Makes a virtual environment with the packages that Mesa's tests need, and with Umwelt in editable form."""
    installed = CACHE / "venv" / "installed"
    if installed.exists() and installed.read_text() == "\n".join(NEEDS):
        return
    venv.create(CACHE / "venv", with_pip=True)
    run(PYTHON, "-m", "pip", "install", "-q", *NEEDS)
    run(PYTHON, "-m", "pip", "install", "-q", "-e", ROOT)
    installed.write_text("\n".join(NEEDS))


def test(plain: bool) -> tuple[int, str]:
    """Runs the tests, with `plain` on Mesa's own classes; returns how many passed, and the output of pytest."""
    (CACHE / "umwelt_for_mesa.py").write_text(PLUGIN)
    # with importlib, the source tree is not on the import path: the installed Mesa is tested
    command = [PYTHON, "-m", "pytest", "tests", "-c", os.devnull, "--rootdir", SOURCE, "-p", "no:cacheprovider", "-q"]
    command += ["--import-mode=importlib", "-W", "ignore", "--tb=short", *[f"--ignore={path}" for path in WITHOUT]]
    command += [] if plain else ["-p", "umwelt_for_mesa"]
    environment = {**os.environ, "PYTHONPATH": str(CACHE), "MPLBACKEND": "agg"}
    process = subprocess.run(
        [str(part) for part in command], cwd=SOURCE, env=environment, capture_output=True, text=True, check=False
    )
    passed = re.search(r"(\d+) passed", process.stdout)
    return int(passed.group(1)) if passed else 0, process.stdout + process.stderr


def main() -> None:
    """Fetches, installs, runs, and prints how many tests passed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--plain", action="store_true", help="run the tests on Mesa itself")
    plain = options.parse_args().plain
    fetch()
    install()
    passed, output = test(plain)
    lines = output.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    print("\n".join(lines if passed < MIN_PASSED else [*failed, lines[-1]]))
    subject = "Mesa itself" if plain else "Umwelt as Mesa"
    print(f"{subject}: {passed} of Mesa {MESA}'s tests passed; at least {MIN_PASSED} are required")
    sys.exit(0 if passed >= MIN_PASSED else 1)


if __name__ == "__main__":
    main()
