"""Key pairs by which processes and viewers authenticate, and the role of each public key, in one folder.

CURVE is the encryption of ZeroMQ.

    keys/
        world.public      world.secret        identifies the world: used by coordinator, gateway and node sockets
        node.public       node.secret         for nodes
        keeper.public     keeper.secret       for viewers that may change the world
        spectator.public  spectator.secret    for viewers that may only watch
        chain.public      chain.secret        signs the run's hash chain (Ed25519; all others are CURVE); has no role
        roles.toml        "PUBLIC KEY" = "ROLE", one line for each key: read by every server socket

A process or viewer that connects needs `world.public` and the pair of its role only. A server cannot distinguish peers
that use the same pair. To identify one user, make a separate pair and add its public key to `roles.toml`.

Key files are certificates of `zmq.auth`, which writes and reads them. Because it makes secret files readable by every
user and overwrites existing files, `make_keys` writes into a private folder first, and moves the complete files.
"""

import re
import shutil
import struct
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth
from zmq.utils import z85

from umwelt.cluster.formats import KEY_FORMAT, unreadable_format
from umwelt.cluster.wire import signing
from umwelt.sandbox.errors import RunError

WORLD, NODE, KEEPER, SPECTATOR = ROLES = ("world", "node", "keeper", "spectator")
TABLE = "roles.toml"
CHAIN = "chain"
"""Name of the key pair that signs hash chains."""
MAX_FILE_BYTES = 1 << 16
"""Maximum size of a key file; the table of roles can be sixteen times as large."""
Z85_CHARACTERS = 40
"""Length of a 32-byte key in Z85, the encoding that ZeroMQ uses."""
_UNFINISHED = ".writing-keys"
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_FORMAT_LINE = re.compile(rb"^\s*format\s*=\s*\"?([^\"\s]*)\"?\s*$", re.MULTILINE)
_TABLE_HEAD = f"""\
# Public keys and their roles, "public key" = "role". Roles: world, node, keeper, spectator.
# A public key is the value of public-key in a file that ends in .public. Servers read this file when they start.
format = {KEY_FORMAT}
"""


def key_to_hex(key: bytes) -> str:
    """Converts a Z85 key to 64 hex digits, which need no quotes in shells and addresses."""
    return z85.decode(key).hex()


def key_from_hex(text: str) -> bytes:
    """Converts 64 hex digits to a Z85 key. Raises ValueError for any other text."""
    if not _HEX.fullmatch(text):
        raise ValueError("a key is 64 hex digits")
    return z85.encode(bytes.fromhex(text))


@dataclass(frozen=True)
class Keys:
    """The keys of one process: its key pair, the world's keys, and the roles of its peers. Keys are Z85-encoded."""

    role: str
    public: bytes
    secret: bytes = field(repr=False)
    world_public: bytes
    world_secret: bytes | None = field(repr=False)
    """The world's secret key; None if the folder has no `world.secret`."""
    roles: Mapping[bytes, str]
    """Role by public key. If there is no `roles.toml`, only the keys `public` and `world_public`."""

    @classmethod
    def load(cls, folder: Path, role: str) -> "Keys":
        """Loads the keys of a role from a folder that `make_keys` made, or from a copy of the files the role needs.

        Raises RunError if the role is unknown, or a file is missing or malformed.
        """
        if role not in ROLES:
            raise RunError(f"{folder}: there is no role {role!r}: choose {_choice()}")
        _check_folder(folder)
        world_public = _read_key(folder / f"{WORLD}.public")[0]
        public, secret = _read_pair(folder, role)
        world_secret = _read_pair(folder, WORLD)[1] if (folder / f"{WORLD}.secret").exists() else None
        roles = {world_public: WORLD, public: role}
        if (folder / TABLE).exists():
            roles |= _read_roles(folder / TABLE)
        return cls(role, public, secret, world_public, world_secret, roles)

    @property
    def server_pair(self) -> tuple[bytes, bytes]:
        """The pair (public, secret) for server sockets: the world's if its secret key is known, else the role's."""
        return (self.world_public, self.world_secret) if self.world_secret else (self.public, self.secret)


def make_keys(folder: Path) -> list[Path]:
    """Creates a pair for each role, a pair for signatures, and the table of roles, in a new or empty folder.

    Returns the paths of the files. Raises RunError if the folder is not empty or cannot be written; no keys are left in
    it then.
    """
    with _report_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = folder / _UNFINISHED
        try:
            unfinished.mkdir(mode=0o700)  # claims the folder: a second process fails here
        except FileExistsError:
            raise _not_empty(folder, _UNFINISHED) from None
        moved: list[Path] = []
        try:
            existing = sorted(path.name for path in folder.iterdir() if path != unfinished)
            if existing:
                raise _not_empty(folder, existing[0])
            folder.chmod(0o700)
            _write_files(unfinished)
            for path in sorted(unfinished.iterdir()):
                moved.append(path.rename(folder / path.name))
        except BaseException:
            for path in moved:
                with suppress(OSError):
                    path.unlink()
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return moved


def load_chain_secret(folder: Path) -> bytes | None:
    """Returns the secret Ed25519 key that signs hash chains; None if the folder has none.

    Raises RunError if it does not match the public key.
    """
    _check_folder(folder)
    if not (folder / f"{CHAIN}.secret").exists():
        return None
    secret = z85.decode(_read_secret(folder / f"{CHAIN}.secret"))
    if signing.public_key(secret) != load_chain_public(folder):
        raise RunError(f"{folder}: {CHAIN}.public and {CHAIN}.secret are of different pairs: copy both again")
    return secret


def load_chain_public(folder: Path) -> bytes:
    """Returns the public Ed25519 key by which signatures of hash chains are verified.

    Raises RunError if the folder has none.
    """
    _check_folder(folder)
    return z85.decode(_read_key(folder / f"{CHAIN}.public")[0])


def best_role(folder: Path) -> str:
    """Returns the role for a client: keeper, node or spectator, the first of them whose secret key is in the folder.

    Raises RunError if there is none.
    """
    _check_folder(folder)
    for role in (KEEPER, NODE, SPECTATOR):
        if (folder / f"{role}.secret").exists():
            return role
    raise RunError(f"{folder}: there is no secret key of {_choice(KEEPER, NODE, SPECTATOR)}: {_fix(folder)}")


def _write_files(folder: Path) -> None:
    """Writes all key files and the table of roles into `folder`, which only this user may access."""
    table = _TABLE_HEAD
    for role in ROLES:
        public_file, secret_file = zmq.auth.create_certificates(folder, role, {"format": str(KEY_FORMAT)})
        public, _ = zmq.auth.load_certificate(secret_file)
        _finish_file(Path(public_file), folder / f"{role}.public", 0o644)
        _finish_file(Path(secret_file), folder / f"{role}.secret", 0o600)
        table += f'"{public.decode("ascii")}" = "{role}"\n'
    signing_public, signing_secret = (z85.encode(key).decode("ascii") for key in signing.make_pair())
    # zmq.auth makes CURVE pairs only, so the Ed25519 pair is written here, in the same layout
    text = f'metadata\n    format = {KEY_FORMAT}\ned25519\n    public-key = "{signing_public}"\n'
    for name, mode, content in (
        (f"{CHAIN}.public", 0o644, text),
        (f"{CHAIN}.secret", 0o600, f'{text}    secret-key = "{signing_secret}"\n'),
        (TABLE, 0o644, table),
    ):
        (folder / name).touch(mode)
        (folder / name).write_text(content, "ascii")
        (folder / name).chmod(mode)


def _finish_file(source: Path, target: Path, mode: int) -> None:
    """Sets the mode of a certificate and renames it to `target`.

    Adds the format version if it is missing: zmq.auth omits it from public certificates.
    """
    source.chmod(mode)
    text = source.read_text("utf-8")
    if not _FORMAT_LINE.search(text.encode()):
        source.write_text(text.replace("metadata\n", f"metadata\n    format = {KEY_FORMAT}\n", 1), "utf-8")
    source.rename(target)


def _check_z85(key: bytes) -> None:
    """Raises ValueError unless `key` is a 32-byte key encoded in Z85."""
    try:
        if len(key) != Z85_CHARACTERS or len(z85.decode(key)) != signing.KEY_BYTES:
            raise ValueError("wrong length")
    except (LookupError, struct.error) as error:
        raise ValueError("not Z85") from error


def _choice(*roles: str) -> str:
    """Returns "A, B or C" for error messages, by default with all roles."""
    *others, last = roles or ROLES
    return f"{', '.join(others)} or {last}"


def _fix(folder: Path) -> str:
    """Returns the part of an error message that says how to obtain missing keys."""
    return f"get it from whoever made the keys, or make keys with: umwelt keys {folder}"


def _not_empty(folder: Path, name: str) -> RunError:
    return RunError(f"{folder}: is not empty ({name}): choose another folder, keys are never overwritten")


@contextmanager
def _report_errors(path: Path) -> Iterator[None]:
    """Converts an OSError raised in the context to a RunError about `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        fix = "check its permissions, or choose another folder"
        raise RunError(f"{path}: cannot be read or written: {reason}: {fix}") from None


def _check_folder(folder: Path) -> None:
    """Raises RunError unless `folder` is a folder."""
    with _report_errors(folder):
        if not folder.is_dir():
            raise RunError(f"{folder}: is not a folder with keys: {_fix(folder)}")


def _read_bounded(path: Path, max_bytes: int) -> bytes:
    """Returns the content of a file. Raises RunError if it is missing, unreadable or too large."""
    with _report_errors(path):
        try:
            with path.open("rb") as file:
                content = file.read(max_bytes + 1)
        except FileNotFoundError:
            raise RunError(f"{path}: is missing: {_fix(path.parent)}") from None
    if len(content) > max_bytes:
        raise RunError(f"{path}: has more than {max_bytes:,} bytes: copy the file again")
    return content


def _read_key(path: Path) -> tuple[bytes, bytes | None]:
    """Returns the public and the secret key of a file, Z85-encoded; the secret key is None if the file has none."""
    version = _FORMAT_LINE.search(_read_bounded(path, MAX_FILE_BYTES))
    if version is not None and version[1] != b"%d" % KEY_FORMAT:
        raise unreadable_format(path, "key file", version[1].decode("ascii", "replace"), KEY_FORMAT)
    with _report_errors(path):
        try:
            public, secret = zmq.auth.load_certificate(path)
            for key in (public, *([secret] if secret is not None else [])):
                _check_z85(key)
        except ValueError:
            raise RunError(f"{path}: is not a key file of umwelt keys: copy the file again") from None
    return public, secret


def _read_secret(path: Path) -> bytes:
    """Returns the secret key of a file, Z85-encoded. Raises RunError if the file has none."""
    secret = _read_key(path)[1]
    if secret is None:
        raise RunError(f"{path}: holds no secret key: copy the file again")
    return secret


def _read_pair(folder: Path, role: str) -> tuple[bytes, bytes]:
    """Returns public and secret key of a role. Raises RunError if they do not belong together."""
    public, secret = _read_key(folder / f"{role}.public")[0], _read_secret(folder / f"{role}.secret")
    if zmq.curve_public(secret) != public:
        raise RunError(f"{folder}: {role}.public and {role}.secret are of different pairs: copy both again")
    return public, secret


def _read_roles(path: Path) -> dict[bytes, str]:
    """Returns the role of each public key from a table of roles. Raises RunError with the line of the first error."""
    content = _read_bounded(path, 16 * MAX_FILE_BYTES)
    try:
        text = content.decode("utf-8")
        table = tomllib.loads(text)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise RunError(f'{path}: cannot be read: {reason}: each line is "PUBLIC KEY" = "ROLE"') from None
    version = table.pop("format", "none")
    if version != KEY_FORMAT:
        raise unreadable_format(path, "table of roles", version, KEY_FORMAT)
    roles: dict[bytes, str] = {}
    for key, role in table.items():
        lines = enumerate(text.splitlines(), 1)
        number = next((n for n, line in lines if line.lstrip(" \t\"'[").startswith(key)), 1)
        place = f"{path}: line {number}"
        if role not in ROLES:
            raise RunError(f"{place}: there is no role {role!r}: choose {_choice()}")
        public = key.encode("utf-8")
        try:
            _check_z85(public)
        except ValueError:
            fix = "copy it again from a file that ends in .public"
            raise RunError(f"{place}: {key!r} is not a public key of {Z85_CHARACTERS} characters: {fix}") from None
        roles[public] = role
    return roles
