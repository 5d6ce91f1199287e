"""The exception tree. Each error has one line for the user and a code for programs.

The line reads `thing: place: how to fix it`. The code is a short constant: it travels in answers over the network, is
printed after the line in square brackets by the command line, and is what code compares (never the text of a line).
`docs/errors.md` lists the codes.
"""


class UmweltError(Exception):
    """An error that a user can fix; its text is one line that names the thing, the place and the fix.

    The command line prints the line with `code` and exits with status 2.
    """

    code = "usage"


class WorldFileError(UmweltError):
    """A world file, or a value that overrides one of its keys, is not valid."""

    code = "world-file"


class ChemistryError(WorldFileError):
    """A substance or reaction is not valid: an unknown name, or an equation that does not balance."""

    code = "chemistry"


class SpeciesError(UmweltError):
    """A species' code cannot be imported, or its answers depend on more than its stimuli, columns and dice."""

    code = "species"


class ProgramError(UmweltError):
    """A HOCL program cannot be read, computes an undefined value, or does not become inert within its limits."""

    code = "program"


class SnapshotError(UmweltError):
    """A snapshot is damaged, incomplete or of another format version."""

    code = "snapshot"


class CommandError(UmweltError):
    """A command is not valid in this world; the sender receives the line, and the world goes on."""

    code = "command"


class RunError(UmweltError):
    """A run cannot be read, written, continued or reached."""

    code = "run"


class BusyError(RunError):
    """The receiver has too much to do at present; the same request may succeed later."""

    code = "busy"


class LawError(UmweltError):
    """A law violated its contract: it looked beyond its reach, lost matter, or used one id twice."""

    code = "law"


def error_for(code: str, line: str) -> UmweltError:
    """Returns the exception of a code that arrived over the network; `RunError` where the code is unknown."""
    return _ERRORS.get(code, RunError)(line)


_ERRORS: dict[str, type[UmweltError]] = {
    error.code: error
    for error in (
        UmweltError,
        WorldFileError,
        ChemistryError,
        SpeciesError,
        ProgramError,
        SnapshotError,
        CommandError,
        RunError,
        BusyError,
        LawError,
    )
}
