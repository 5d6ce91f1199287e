"""The exception tree. Each error has one line for the user and a code for programs.

The line reads `thing: place: how to fix it`. The code is a short constant: responses over the network contain it, the
command line prints it in square brackets after the line, and programs compare it rather than the text of the line.
`docs/errors.md` lists the codes.
"""


class UmweltError(Exception):
    """An error that a user can fix; its text is one line that names the thing, the place and the fix.

    The command line prints the line with `code` and exits with status 2.
    """

    code = "usage"


class WorldFileError(UmweltError):
    """An invalid world file, or an invalid value that overrides one of its keys."""

    code = "world-file"


class ChemistryError(WorldFileError):
    """An invalid substance or reaction: an unknown name, or an equation that does not balance."""

    code = "chemistry"


class SpeciesError(UmweltError):
    """A species whose code cannot be imported, fails, or reads anything other than its stimuli, columns and dice."""

    code = "species"


class ProgramError(UmweltError):
    """A HOCL program that cannot be parsed, computes an undefined value, or exceeds a limit.

    The limits are the number of reactions and the number of combinations of atoms that are tried.
    """

    code = "program"


class SnapshotError(UmweltError):
    """A snapshot that is damaged, incomplete, or of another format version."""

    code = "snapshot"


class CommandError(UmweltError):
    """A command that is not valid in this world; its sender receives the line, and the world continues."""

    code = "command"


class RunError(UmweltError):
    """A run (a folder with a world's history) that cannot be read, written, continued or reached."""

    code = "run"


class BusyError(RunError):
    """A request that the receiver rejected because it is overloaded; the same request can succeed later."""

    code = "busy"


class LawError(UmweltError):
    """A law that violates its contract: it reads beyond its reach, loses matter, or uses an id twice."""

    code = "law"


def error_for(code: str, line: str) -> UmweltError:
    """Returns the exception for an error code and line received over the network; a `RunError` for an unknown code."""
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
