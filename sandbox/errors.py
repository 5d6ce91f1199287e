"""What can go wrong, as one tree. The command line prints the line of an `UmweltError` and ends with exit code 2."""


class UmweltError(Exception):
    """A mistake or mishap that a person can mend; its text names the thing, the place and the mend."""


class WorldFileError(UmweltError):
    """A world file, or a value set over it, that does not describe a world."""


class ChemistryError(WorldFileError):
    """A substance or reaction that cannot be: unknown names, or an equation that does not balance."""


class SpeciesError(UmweltError):
    """A species whose code cannot be imported, or whose answers depend on more than it may."""


class ProgramError(UmweltError):
    """A chemical program that cannot be read, that computes what has no value, or that does not come to rest."""


class SnapshotError(UmweltError):
    """A snapshot that is damaged, half written or of another schema."""


class CommandError(UmweltError):
    """A deed that cannot be done in this world; whoever asked for it is told, and the world goes on."""


class RunError(UmweltError):
    """A run directory that cannot be read, written or continued."""


class LawError(UmweltError):
    """A law that broke its word: looked too far, lost matter, or made one id twice."""
