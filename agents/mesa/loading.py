"""Loads the region of a World from the arguments of `World.load`: a world file or snapshot, overrides, and classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents.open_world import begin, open_region
from umwelt.agents.species.references import register_class
from umwelt.agents.world_file import WorldFile, bundled_worlds, parse_world, read_world
from umwelt.sandbox.errors import SnapshotError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.text import one_line, one_of

# sandbox.snapshot is imported inside functions, because it imports Zarr, which is slow


def load_region(
    world: Any, overrides: Mapping[str, Any], species: Mapping[str, type] | None
) -> tuple[WorldFile, Region]:
    """Returns the checked world file and a region that owns the whole torus, ready to run.

    `world` is a bundled name, the path of a .toml file or of a snapshot, or a WorldFile. `overrides` are values by key,
    where two underscores can replace a dot; `species` maps names of founders' species to classes. Raises
    WorldFileError if an argument is not valid, SnapshotError if the snapshot is damaged.
    """
    values = {key.replace("__", "."): as_toml(value) for key, value in overrides.items()}
    if not isinstance(world, str | Path | WorldFile):
        line = f"world = {world!r}: give a bundled name, the path of a .toml file or snapshot, or a WorldFile"
        raise WorldFileError(one_line(line))
    classes = {} if species is None else check_classes(species)
    folder = find_snapshot(world)
    if folder is not None:
        return load_snapshot(folder, values, classes)
    world_file = read_world_file(world, values, classes)
    return world_file, begin(world_file)


def as_toml(value: Any) -> Any:
    """Converts NumPy's numbers and arrays to Python numbers and lists, which TOML supports."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def check_classes(species: Any) -> Mapping[str, type]:
    """Returns `species` if it maps names to classes; raises WorldFileError otherwise."""
    if not isinstance(species, Mapping):
        raise WorldFileError(one_line(f'species = {species!r}: name the founders, as in {{"grazer": Shy}}'))
    for name, cls in species.items():
        if not isinstance(name, str):
            raise WorldFileError(one_line(f"species: {name!r} is not a name of founders: write it as text"))
        if not isinstance(cls, type):
            line = f'species: "{name}": {cls!r} is a {type(cls).__name__}, not a class: give the class itself'
            raise WorldFileError(one_line(line))
    return species


def read_world_file(
    world: str | Path | WorldFile, overrides: Mapping[str, Any], species: Mapping[str, type]
) -> WorldFile:
    """Returns the checked world file with `overrides`, and with the classes in `species` as behaviours of founders."""

    def read(values: Mapping[str, Any]) -> WorldFile:
        """Returns the checked world file with the given overrides."""
        if isinstance(world, WorldFile):
            return parse_world(world.text, world.source, world.name, values) if values else world
        return read_world(str(world), values)

    world_file = read(overrides)
    if not species:
        return world_file
    return read({**overrides, **founder_behaviours(world_file, species)})


def founder_behaviours(world_file: WorldFile, species: Mapping[str, type]) -> dict[str, str]:
    """Returns settings by which the founders of a world file behave as given classes.

    `species` maps names of species to classes. The result maps keys such as `founders.2.behaviour` to references, the
    texts by which a world file names classes. Raises WorldFileError if the world file has no founders at all, or
    none of one of the species.
    """
    founders = getattr(world_file.settings, "founders", None)
    if not founders:
        raise WorldFileError(f"{world_file.source}: species: this world has no founders: leave species out")
    names = [founder.species for founder in founders]
    values: dict[str, str] = {}
    for name, cls in species.items():
        one_of(name, names, f"{world_file.source}: species")
        reference = register_class(cls)
        values |= {f"founders.{at}.behaviour": reference for at, other in enumerate(names) if other == name}
    return values


def find_snapshot(world: str | Path | WorldFile) -> Path | None:
    """Returns the path of the snapshot if `world` is one, else None.

    Raises WorldFileError if `world` is a folder that is neither a snapshot nor the name of a bundled world.
    """
    from umwelt.sandbox.snapshot import MANIFEST

    if isinstance(world, WorldFile) or not str(world):
        return None
    path = Path(world)
    try:
        if not path.is_dir():
            return None
    except OSError:
        return None
    if not (path / MANIFEST).exists():
        if str(world) in bundled_worlds():
            return None
        line = f"{path}: is not a snapshot: give what World.save wrote, the path of a .toml file, or a bundled name"
        raise WorldFileError(one_line(line))
    return path


def load_snapshot(path: Path, overrides: Mapping[str, Any], species: Mapping[str, type]) -> tuple[WorldFile, Region]:
    """Returns the world file and the region of a snapshot, ready to continue from its tick.

    `species` maps names of founders' species to classes that become their behaviours. Raises WorldFileError if there
    are overrides, because a snapshot cannot be changed.
    """
    from umwelt.sandbox.snapshot import load, read_manifest

    if overrides:
        key = next(iter(overrides))
        raise WorldFileError(f"{path}: {key}: a snapshot cannot be changed: give only species")
    manifest = read_manifest(path)
    world_file = parse_world(manifest.world, str(path), manifest.name)
    if species:
        behaviours = founder_behaviours(world_file, species)
        world_file = parse_world(manifest.world, str(path), manifest.name, behaviours)
    kept = load(path, world_file.laws.layout(world_file))
    region = open_region(world_file, kept.pieces, kept.constants, manifest.tick)
    region.controls = kept.controls
    return world_file, region


def save_snapshot(path: Path, region: Region, world_file: WorldFile) -> None:
    """Writes a snapshot into the folder `path`. Raises SnapshotError if `path` exists or cannot be written."""
    from umwelt.sandbox.snapshot import save

    try:
        if path.exists():
            raise SnapshotError(one_line(f"{path}: exists already: choose another folder"))
        save(path, region, world_file.text, world_file.name)
    except OSError as error:
        line = f"{str(path)[:200]}: cannot be written: {error.strerror or error}: choose another folder"
        raise SnapshotError(one_line(line)) from None
