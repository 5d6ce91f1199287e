"""Format versions of the files that the cluster writes, and the error for files of another version.

A version is incremented whenever an older program could not read the file, or would read it wrongly. `docs/versions.md`
lists all formats and the reasons for their changes. The version of snapshots is defined in `umwelt.sandbox.snapshot`.
"""

from pathlib import Path

from umwelt.sandbox.errors import RunError

RUN_FORMAT = 1
"""Version of a run's folder: the files in it, and the contents of `run.json`."""
JOURNAL_FORMAT = 1
"""Version of the tables of `journal.sqlite`."""
CHAIN_FORMAT = 1
"""Version of the hash chain: which journal entries it covers, and how they are hashed."""
KEY_FORMAT = 1
"""Version of the key files and of the table of roles (`wire/keys.py`)."""


def unreadable_format(path: Path | str, what: str, found: object, readable: int) -> RunError:
    """Returns the error for a file whose format version this version of Umwelt cannot read.

    `what` names the kind of file, `found` is its version, and `readable` is the version that can be read.
    """
    return RunError(
        f"{path}: {what} format {str(found)[:20]}, this Umwelt reads format {readable}: use the Umwelt that wrote it"
    )
