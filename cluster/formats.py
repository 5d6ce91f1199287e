"""The format versions of the files that the cluster writes, and the line that refuses a file of another version.

A version changes whenever an older program could not read the file, or would read it wrongly; `docs/versions.md` lists
all formats and what changes them. Snapshots carry a version of their own (`umwelt.sandbox.snapshot`).
"""

from pathlib import Path

from umwelt.sandbox.errors import RunError

RUN_FORMAT = 1
"""A run's folder: which files it holds, and what `run.json` says."""
JOURNAL_FORMAT = 1
"""The tables of `journal.sqlite`."""
CHAIN_FORMAT = 1
"""What the hash chain covers, and how it is hashed."""
KEY_FORMAT = 1
"""Key files and the table of roles."""


def unreadable_format(path: Path | str, what: str, found: object, readable: int) -> RunError:
    """Returns the error for a file of a format version that this Umwelt does not read."""
    return RunError(
        f"{path}: {what} format {str(found)[:20]}, this Umwelt reads format {readable}: use the Umwelt that wrote it"
    )
