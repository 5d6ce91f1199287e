"""Types of the public names: mypy in strict mode checks a user's script against the installed package."""

import importlib.metadata
import re
import runpy
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUPTOOLS_NEEDED = 77

SCRIPT = '''
"""Two species, a measure and a world, as a user writes them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

import umwelt
from umwelt import Column, Drives, Monster, Plant, World, compiled, connect
from umwelt.agents import BeingColumns, Measure, Stimuli, StimulusColumns, WorldFile
from umwelt.sandbox.region import Region

WEIGHTS = {"hunger": 40, "one": 7}


class Shy(Monster):
    fear = Column("int16", inherited=True, default=3)
    path = Column("int32", width=4)

    def respond(self, see: Stimuli) -> Drives:
        self.fear = 0.9 * self.fear + 10 * self.dice()
        self.fear += self.dice.integer(3)
        self.path = [see.raw.hunger, 0, 0, see.dot(WEIGHTS)]
        if see.hunger > 0.5 and self.fear > 2:
            return Drives(turn=-see.other_bearing, thrust=0.8)
        return Drives.raw(turn=see.raw.other_bearing)


class Quick(Monster):
    hurry = Column("int8")

    @compiled
    def respond(self, see: Stimuli) -> Drives:
        self.hurry = min(self.hurry + 1, 100)
        return Drives(thrust=see.hunger)


class Swarm(Monster):
    count = Column()

    @classmethod
    def respond_all(cls, me: BeingColumns, see: StimulusColumns) -> Drives:
        me.count = me.count + me.dice.integer(3)
        return Drives(turn=np.where(see.hunger > 0.5, -see.other_bearing, 0.0))


def deepest(world: WorldFile, region: Region) -> dict[str, float]:
    return {"deepest": float(region.owned_view("elevation").min())}


def run() -> World:
    world = World.load("golden", seed=7, species={"grazer": Shy, "hunter": Quick}, width=32, height=32)
    world.step()
    rich = world.agents.select(lambda agent: agent.sugar_count > 50)
    young = world.agents.select(world.agents["age_ticks"] < 3)
    plants = world.agents_by_type[Plant].sort("sugar_count")
    measure: Measure = deepest
    numbers: Mapping[str, float] = measure(world.world_file, world.region)
    water: NDArray[np.int32] = world.field("water")
    assert len(rich) and len(young) and len(plants) and water.shape == (32, 32) and "deepest" in numbers
    World.load("golden", seed=7, species={"grazer": Swarm}, width=32, height=32).step()
    return world


def fears(world: World) -> list[int]:
    steps: int = world.steps
    version: str = umwelt.__version__
    return [steps, len(version), *[fear for fear in world.agents_by_type[Shy].get("fear")]]


def first_of(shy: Shy) -> tuple[int, int]:
    return shy.fear + 1, len(shy.path)


def watch(address: str) -> None:
    connection = connect(address, timeout_s=3.0)
    connection.close()


if __name__ == "__main__":
    print(fears(run()))
'''

WRONG_LINES = {
    "Drives(thurst=1)": r'Unexpected keyword argument "thurst" for "Drives"',
    'Drives.raw(turn="left")': r'Argument "turn" to "raw" of "Drives" has incompatible type',
    'World.load("golden", seed="seven")': r'Argument "seed" to "load" of "World" has incompatible type',
    "World().stepp()": r'"World" has no attribute "stepp"',
    'Column("int16", widht=3)': r'Unexpected keyword argument "widht"',
    "compiled(5)": r'Value of type variable "\w+" of "compiled" cannot be "int"',
    'connect("run").no_such_method()': r'"Connection" has no attribute "no_such_method"',
    "see.hungre": r'"Stimuli" has no attribute "hungre"',
    'shy.fear = "much"': r"Incompatible types in assignment",
    "measure = wrong_measure": r"Incompatible types in assignment",
}
"""Wrong lines of a user's script, and the message of mypy that is expected for each."""

WRONG_HEAD = """
from umwelt import Column, Drives, Monster, World, compiled, connect
from umwelt.agents import Measure, Stimuli


class Shy(Monster):
    fear = Column("int16")


def wrong_measure(world: int) -> str:
    return ""


def wrong(see: Stimuli, shy: Shy, measure: Measure) -> None:
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a virtual environment: Umwelt is installed as by users, with the packages of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv")
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    # setuptools writes into the folder that it builds from: therefore it gets a copy of the package's files
    for name in ("pyproject.toml", "README.md"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    for room in ("agents", "client", "cluster", "sandbox", "umwelt", "worlds"):
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                target = folder / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", packages, folder]
    if int(importlib.metadata.version("setuptools").split(".")[0]) >= SETUPTOOLS_NEEDED:
        command.append("--no-build-isolation")
    subprocess.run(command, check=True, capture_output=True, text=True)
    assert (packages / "umwelt" / "py.typed").is_file()
    return folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def check(python, tmp_path_factory):
    """A function that runs mypy in strict mode on a text and returns its exit code and output."""
    folder = tmp_path_factory.mktemp("scripts")

    def run_mypy(text):
        (folder / "script.py").write_text(text)
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--python-executable", python]
        done = subprocess.run([*command, "script.py"], cwd=folder, check=False, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run_mypy


@pytest.mark.slow
def test_a_users_script_is_clean_in_strict_mode(check):
    code, output = check(SCRIPT)
    assert (code, output.strip()) == (0, "Success: no issues found in 1 source file")


def test_that_script_runs(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    names = runpy.run_path(str(tmp_path / "script.py"))
    world = names["run"]()
    assert names["fears"](world)[0] == 1 and max(names["fears"](world)[2:]) > 3


def test_mypy_reports_the_wrong_lines_of_a_user_and_no_other(check):
    code, output = check(WRONG_HEAD + "".join(f"    {line}\n" for line in WRONG_LINES))
    assert code == 1
    first = WRONG_HEAD.count("\n") + 1
    for number, (line, expected) in enumerate(WRONG_LINES.items(), first):
        assert re.search(rf"script\.py:{number}: error: .*{expected}", output), (line, output)
    numbers = {int(number) for number in re.findall(r"script\.py:(\d+): error", output)}
    assert numbers == set(range(first, first + len(WRONG_LINES)))


def test_importing_umwelt_is_light():
    heavy = ("mesa", "numba", "numpy", "pandas", "zarr", "zmq")
    code = f"import sys, umwelt; dir(umwelt), umwelt.__version__; print(sorted({{*{heavy}}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_all_there():
    import umwelt

    names = {"Column", "Drives", "Monster", "Plant", "World", "__version__", "compiled", "connect"}
    assert set(umwelt.__all__) == names <= set(dir(umwelt))
    assert {name for name in names if getattr(umwelt, name, None) is None} == set()
    assert umwelt.__version__ == importlib.metadata.version("umwelt")
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = umwelt.Nonsense
