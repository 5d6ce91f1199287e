"""Chemical programs by name or path: those that come with Umwelt, and files of one's own."""

import difflib
from importlib import resources
from pathlib import Path

from umwelt.agents.hocl.parser import MAX_TEXT, Program, parse
from umwelt.sandbox.errors import ProgramError
from umwelt.sandbox.text import one_line


def bundled_programs() -> dict[str, Path]:
    """The programs that come with Umwelt, by name."""
    return _bundled("programs")


def bundled_minds() -> dict[str, Path]:
    """The programs that are minds of species, by name."""
    return _bundled("minds")


def _bundled(folder: str) -> dict[str, Path]:
    found = Path(str(resources.files("umwelt.worlds"))) / folder
    return {path.stem: path for path in sorted(found.glob("*.hocl"))}


def find_program(name_or_path: str) -> Path:
    """A program's file by bundled name or path."""
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
    """Read and check a program."""
    path = find_program(name_or_path)
    source = one_line(path)
    try:
        with path.open("rb") as file:
            content = file.read(4 * MAX_TEXT + 1)  # a letter takes four bytes at most; longer ones are refused below
        text = content.decode("utf-8-sig", "ignore" if len(content) > 4 * MAX_TEXT else "strict")
    except UnicodeDecodeError as error:
        raise ProgramError(f"{source}: not UTF-8 at byte {error.start}: save it as UTF-8 text") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        mend = "give the path of a .hocl file, or a bundled program"
        raise ProgramError(one_line(f"{source[:200]}: cannot be read: {why}: {mend}")) from None
    return parse(text, source)
