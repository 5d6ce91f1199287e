"""Every mistake in a world file is an error of one line with the file, the key or value, and the fix."""

import shutil
import tracemalloc
from pathlib import Path

import pytest
from small_runs import TEXT

from umwelt.agents import world_file
from umwelt.agents.open_world import begin, try_small_world
from umwelt.agents.world_file import read_world
from umwelt.client.commands.cli import main
from umwelt.sandbox import region
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.step import advance


def with_line(after: str, line: str) -> str:
    """Returns the text of the world file with a line added after `after`."""
    assert after in TEXT
    return TEXT.replace(after, f"{after}\n{line}", 1)


def instead(before: str, after: str) -> str:
    """Returns the text of the world file with `before` replaced by `after`."""
    assert before in TEXT
    return TEXT.replace(before, after, 1)


def reaction(equation: str, more: str = "rate = 0.1") -> str:
    """Returns the text of the world file with one more reaction."""
    return f'{TEXT}\n[[chemistry.reactions]]\nname = "mine"\nequation = "{equation}"\n{more}\n'


HUNTER = 'species = "hunter"'
BAD = {
    "unknown key": (with_line("seed = 5", "widht = 4"), 'unknown key "widht": did you mean "width"?'),
    "unknown key in a section": (
        f"{TEXT}\n[ground]\nsea_levl = 3",
        'ground: unknown key "sea_levl": did you mean "sea_level"?',
    ),
    "missing key": (instead("seed = 5", ""), 'missing key "seed": add it'),
    "wrong type": (instead("width = 48", 'width = "wide"'), 'width = "wide": write a whole number'),
    "wrong type in a list": (
        instead("count = 200", 'count = "many"'),
        'founders[0].count = "many": write a whole number',
    ),
    "section that is none": (instead("[climate]\nday_ticks = 60", "climate = 4"), "climate = 4: write a section"),
    "equation that does not balance": (
        reaction("detritus -> sugar"),
        'reaction "mine": 4 C on the left, 1 on the right: balance it',
    ),
    "unknown substance": (reaction("nectar -> sugar"), 'reaction "mine": unknown substance "nectar": known are water'),
    "unknown catalyst": (
        reaction("water -> vapour", 'rate = 0.1\ncatalysts = ["leef"]'),
        'unknown catalyst "leef": use one of light',
    ),
    "negative rate": (reaction("water -> vapour", "rate = -0.1"), "rate -0.1: use 0 to 64"),
    "bad formula": (f'{TEXT}\n[chemistry.substances]\nnectar = "h2o"', 'cannot read the formula "h2o": write it like'),
    "species that cannot be imported": (
        with_line(HUNTER, 'behaviour = "no_such_module:Shy"'),
        '"no_such_module:Shy": cannot import no_such_module',
    ),
    "species that is not there": (
        with_line(HUNTER, 'behaviour = "umwelt.agents.body.genome:Shy"'),
        'umwelt.agents.body.genome has no "Shy"',
    ),
    "laws that cannot be imported": (
        with_line("seed = 5", 'laws = "no_such:laws"'),
        'laws = "no_such:laws": cannot import',
    ),
    "unknown founder": (instead(HUNTER, 'species = "huntr"'), 'unknown "huntr": did you mean "hunter"?'),
    "size below 32": (instead("width = 48", "width = 31"), "width = 31: use at least 32 cells"),
    "more cells than have ids": (instead("width = 48", "width = 1000000000"), "width = 1000000000: use at most"),
    "negative count": (instead("count = 200", "count = -1"), "founders[0].count = -1: use 0 or more"),
    "negative molecules": (f"{TEXT}\n[ground]\nmineral = -4", "ground.mineral = -4: use 0 or more"),
    "negative molecules of one's own": (f"{TEXT}\n[chemistry.initial]\noxygen = -4", "chemistry.initial"),
    "more molecules than can be counted": (
        f"{TEXT}\n[ground]\nmineral = 99999999999",
        "ground.mineral = 99999999999: use",
    ),
    "no number": (instead("day_ticks = 60", "temperature = nan"), "climate.temperature = nan: use a number"),
    "no whole number": (instead("width = 48", "width = nan"), "width = nan: write a whole number"),
    "a list where there may be none": (with_line(HUNTER, "organs = 3"), "organs = 3: write a list, as in [1, 2]"),
    "one section where several are meant": (
        "width = 48\nheight = 40\nseed = 5\nfounders = {count = 3}",
        "write each of them as a section [[founders]]",
    ),
    "brackets without end": ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "digits without end": (instead("width = 48", "width = " + "4" * 5000), "not TOML: Exceeds the limit"),
    "a line break in a key": (with_line("seed = 5", '"a\\nb" = 4'), 'unknown key "a b"'),
    "a line break in a name": (instead(HUNTER, 'species = "hun\\nter"'), 'unknown "hun ter": did you mean "hunter"?'),
    "negative seed": (instead("seed = 5", "seed = -5"), "seed = -5: use 0 to"),
    "genome of the wrong length": (
        with_line(HUNTER, "genome = [1, 2]"),
        "founders[3].genome: 2 genes are listed: a monster has",
    ),
    "genomes without any": (
        with_line(HUNTER, "genomes = []"),
        "founders[3].genomes: is empty: list at least one",
    ),
    "genomes of the wrong length": (
        with_line(HUNTER, 'genomes = ["00ff"]'),
        "founders[3].genomes[0]: 2 genes are listed: a monster has",
    ),
    "genomes that are no digits": (
        with_line(HUNTER, 'genomes = ["xyz"]'),
        "founders[3].genomes[0]: is not written in hexadecimal digits",
    ),
    "genomes that are numbers": (
        with_line(HUNTER, "genomes = [1]"),
        'founders[3].genomes[0] = 1: write text in "quotes"',
    ),
    "genomes beside genes": (
        with_line(HUNTER, 'genomes = ["00"]\ngenes = {hue = 3}'),
        "founders[3].genes: genomes are given as well",
    ),
    "among nobody": (
        with_line(HUNTER, 'among = "grazr"'),
        'founders[3].among: unknown "grazr": did you mean "grazer"?',
    ),
    "among themselves": (with_line(HUNTER, 'among = "hunter"'), 'founders[3].among: unknown "hunter": use one of'),
    "among plants": (with_line(HUNTER, 'among = "reed"'), '"reed" is a plant, this a monster: use another'),
    "among others and in clumps": (
        with_line(HUNTER, 'among = "grazer"\nclumps = 3'),
        'they stand where "grazer" do: leave it out',
    ),
    "more organs than fit a genome": (
        with_line(HUNTER, f"organs = {['jaw'] * 13}"),
        "13 organs are listed: at most 12 fit",
    ),
    "gene out of bounds": (
        with_line(HUNTER, "genes = {hue = 300}"),
        "founders[3].genes.hue = 300: use -128 to 127",
    ),
    "a wire to no unit and no drive": (
        with_line(HUNTER, "wires = {bit = {1 = 90}}"),
        'founders[3].wires: unknown "bit": did you mean "bite"?',
    ),
    "a wire from no stimulus": (
        with_line(HUNTER, "wires = {1 = {hungr = 90}}"),
        'founders[3].wires.1: unknown "hungr": did you mean "hunger"?',
    ),
    "a wire too strong": (
        with_line(HUNTER, "wires = {bite = {1 = 128}}"),
        "founders[3].wires.bite.1 = 128: use -128 to 127",
    ),
    "a plant with wires": (
        instead("count = 200", "count = 200\nwires = {bite = {1 = 9}}"),
        "founders[0].wires: plants have no net",
    ),
    "no such ground": (f'{TEXT}\n[ground]\nshape = "hilly"', 'ground.shape: unknown "hilly": did you mean "hills"?'),
    "a sea too deep": (f"{TEXT}\n[ground]\nsea_depth = 30001", "ground.sea_depth = 30001: use 30000 or less"),
    "a tide without time": (
        instead("day_ticks = 60", "tide_ticks = 0"),
        "climate: day_ticks, year_ticks and tide_ticks must be at least 1",
    ),
    "shares above one": (
        f"{TEXT}\n[chemistry.mobility]\noxygen = [0.9, 0.9]",
        "chemistry.mobility.oxygen: write two shares",
    ),
    "not TOML": (instead("[climate]", "[climate"), "not TOML: Expected ']'"),
    "not UTF-8": (TEXT.encode() + b"# \xff", "not UTF-8 at byte"),
}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """A function that runs a command that must fail and write nothing; it returns the one line of the error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        said = capsys.readouterr()
        assert stopped.value.code == 2
        assert said.out == "" and said.err.startswith("umwelt: ") and said.err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return said.err.strip()

    return run


@pytest.mark.parametrize("command", ["launch", "check"])
@pytest.mark.parametrize("mistake", BAD)
def test_a_mistake_is_one_line_with_file_key_and_fix(refused, command, mistake):
    text, expected = BAD[mistake]
    Path("mine.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    line = refused(command, "mine.toml")
    assert line.startswith("umwelt: mine.toml: ") and expected in line


def test_a_world_that_does_not_fit_memory_is_refused_before_anything_is_allocated(refused, monkeypatch):
    def nothing(*arguments):
        raise AssertionError("a region was made")

    Path("mine.toml").write_text(instead("width = 48", "width = 20000"))
    monkeypatch.setattr(world_file, "available_memory_bytes", lambda: 100 << 20)
    monkeypatch.setattr(region.Region, "__init__", nothing)
    line = refused("launch", "mine.toml")
    assert "width = 20000, height = 40: needs about 0." in line and "use a smaller width, height or count" in line


def test_the_estimate_of_memory_is_near_the_memory_that_a_world_needs():
    world = read_world("golden", {"width": 1024, "height": 512})
    tracemalloc.start()
    try:
        advance(begin(world), world.laws, 1)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.8 < world_file.needed_memory_bytes(world) / taken < 1.6


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["launch", "medow"], 'no world "medow": did you mean "meadow"?'),
        (["launch", "absent.toml"], "absent.toml: cannot be read: No such file"),
        (["launch", "two\nlines"], 'no world "two lines"'),
        (["launch", ""], "bundled"),
        (["launch", "a" * 5000], "File name too long: "),
        (["launch", "a" * 5000 + ".toml"], "cannot be read: File name too long: give "),
        (["launch", "/tmp"], "/tmp: is a folder: "),
        (["launch", "golden", "--set", "width=64\nheight=3"], "sets several keys: write one --set for each"),
        (["launch", "golden", "--set", "founders=3"], "founders = 3: write each of them as a section [[founders]]"),
        (["launch", "golden", "--set", "founders=[3]"], "founders[0] = 3: write a section, as in [[founders]]"),
        (["launch", "golden", "--set", "climate.=3"], "--set climate.: name a key beside each dot"),
        (["launch", "golden", "--set", "founders.².count=3"], '--set founders.².count: no entry "²"'),
        (["launch", "golden", "--set", "seed=" + "[" * 5000], "nested too deeply"),
        (["launch", "golden", "--set", "chemistry.initial" + ".a" * 5000 + "=1"], "nested too deeply"),
        (["launch", "golden", "--set", "width"], "--set width: write KEY=VALUE"),
        (["launch", "golden", "--set", "width=wide"], 'width = "wide": write a whole number'),
        (["launch", "golden", "--set", "founders.99.count=1"], '--set founders.99.count: no entry "99"'),
        (["launch", "golden", "--seed", "-1"], "seed = -1: use 0 to"),
        (["launch", "wolf_sheep", "--check", "--ticks", "1"], "--check: the laws of this world have no species"),
        (["launch", "golden", "--nodes", "99"], "--nodes 99: a world of 64 x 64 cells has room for at most 16: use"),
        (["launch", "golden", "--engine", "rya"], "--engine rya: choose local or ray"),
        (["launch", "golden", "--keys", "nowhere"], "nowhere: is not a folder with keys"),
        (["launch", "golden", "--bind", "here"], "here"),
        (["launch", "golden", "--bind", "tcp://0.0.0.0:7700"], "umwelt keys"),
        (["resume", "runs/nowhere"], "runs/nowhere: is not a run"),
        (["verify", "runs/nowhere"], "runs/nowhere: is not a run"),
        (["fork", "runs/nowhere", "--tick", "3"], "runs/nowhere: is not a run"),
        (["status"], "no world is running under runs/ here: give a run's folder, or tcp://HOST:PORT"),
        (["status", "runs/nowhere"], "runs/nowhere: no world is running there: give"),
        (["stop", "tcp://nowhere"], "tcp://nowhere"),
        (["leave", "node-1"], "no world is running under runs/"),
        (["join", "runs/nowhere"], "runs/nowhere: no world is running there"),
        (["picture", "runs/nowhere", "out.txt"], "out.txt: pictures end in .png"),
        (["picture", "runs/nowhere", "out.png", "--size", "big"], "--size big: write it as in --size 1280x720"),
        (["picture", "runs/nowhere", "out.png", "--size", "4x4"], "--size 4x4: use at least"),
        (["export", "runs/nowhere", "--to", "out"], "runs/nowhere: is not a run"),
        (["new", "my-world"], "new my-world: use a name of letters"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(refused, arguments, expected):
    assert expected in refused(*arguments)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", 'no world "": bundled are'),
        ("a" * 5000, "File name too long: use a shorter name"),
        ("a" * 5000 + ".toml", "cannot be read: File name too long: give the path"),
        ("two\nlines", 'no world "two lines"'),
        ("/tmp", "/tmp: is a folder: bundled are"),
        ("nul\0.toml", "cannot be read: embedded null byte"),
    ],
    ids=["empty", "long", "long path", "two lines", "folder", "null"],
)
def test_an_unknown_world_is_an_error_of_one_line_in_python_too(name, expected):
    with pytest.raises(WorldFileError) as raised:
        read_world(name)
    assert expected in str(raised.value) and "\n" not in str(raised.value)


def test_a_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert read_world(str(path)).common.seed == 5


def test_checking_a_world_of_many_founders_needs_little_memory():
    world = read_world("golden", {"width": 64, "height": 64, "founders.0.count": 10_000_000})
    tracemalloc.start()
    try_small_world(world)
    assert tracemalloc.get_traced_memory()[1] < 500_000_000  # the rows of ten million founders need more
    tracemalloc.stop()


def test_new_never_overwrites(refused):
    Path("mine.toml").write_text("precious")
    assert "mine.toml: exists already" in refused("new", "mine")
    assert Path("mine.toml").read_text() == "precious"


def test_a_run_folder_that_is_not_empty_is_not_touched(refused, tmp_path):
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    assert "is not empty: choose another folder" in refused("launch", "golden", "--run", str(folder))
    shutil.rmtree(folder)
