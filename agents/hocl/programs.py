"""Finds and reads chemical programs (in the language HOCL): bundled programs by name, and files by path."""

import difflib
from importlib import resources
from pathlib import Path

from umwelt.agents.hocl.parser import MAX_TEXT, Program, parse
from umwelt.sandbox.errors import ProgramError
from umwelt.sandbox.text import one_line


def bundled_programs() -> dict[str, Path]:
    """Returns the paths of the bundled standalone programs, by name."""
    return _bundled("programs")


def bundled_behaviours() -> dict[str, Path]:
    """Returns the paths of the bundled programs that are behaviours of species, by name."""
    return _bundled("behaviours")


def _bundled(folder: str) -> dict[str, Path]:
    """Returns the paths of the `.hocl` files in a folder of the package `umwelt.worlds`, by name without the suffix."""
    directory = Path(str(resources.files("umwelt.worlds"))) / folder
    return {path.stem: path for path in sorted(directory.glob("*.hocl"))}


def find_program(name_or_path: str) -> Path:
    """Returns the path of a program; `name_or_path` is the name of a bundled program or the path of a file.

    Raises `ProgramError` if there is no such program. A path that ends in `.hocl` is returned without a check.
    """
    path = Path(name_or_path)
    known = bundled_programs()
    try:
        if path.suffix == ".hocl" or path.is_file():
            return path
    except OSError as error:
        line = f'no program "{name_or_path[:40]}...": {error.strerror}: use a shorter name'
        raise ProgramError(one_line(line)) from None
    if name_or_path in known:
        return known[name_or_path]
    near = difflib.get_close_matches(name_or_path, known, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"bundled are {', '.join(known)}; or give the path of a .hocl file"
    raise ProgramError(one_line(f'no program "{name_or_path}": {hint}'))


def read_program(name_or_path: str) -> Program:
    """Reads and parses a program. Raises `ProgramError` if it cannot be read or is not valid."""
    path = find_program(name_or_path)
    source = one_line(path)
    try:
        with path.open("rb") as file:
            content = file.read(
                4 * MAX_TEXT + 1
            )  # a letter takes at most four bytes; longer programs are refused by `parse`
        text = content.decode("utf-8-sig", "ignore" if len(content) > 4 * MAX_TEXT else "strict")
    except UnicodeDecodeError as error:
        raise ProgramError(f"{source}: not UTF-8 at byte {error.start}: save it as UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        fix = "give the path of a .hocl file, or a bundled program"
        raise ProgramError(one_line(f"{source[:200]}: cannot be read: {reason}: {fix}")) from None
    return parse(text, source)
