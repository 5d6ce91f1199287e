"""Who may come in: CURVE key pairs with roles, in one folder.

    keys/
        world.public      world.secret        the world's own: the directory, the gateway and the doors of nodes show it
        node.public       node.secret         those that compute
        keeper.public     keeper.secret       those that may change the world
        spectator.public  spectator.secret    those that may look
        ledger.public     ledger.secret       signs the run's ledger (Ed25519; the others are CURVE); opens no door
        roles.toml        "PUBLIC KEY" = "ROLE", one line a key: read by every door

Whoever joins gets `world.public` and his own pair, nothing more. All who hold the same pair are one and the same to a
door; one who is to be told apart makes keys of his own and has his public key added to `roles.toml`.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from umwelt.cluster.wire import signing
from umwelt.sandbox.errors import RunError

WORLD, NODE, KEEPER, SPECTATOR = ROLES = ("world", "node", "keeper", "spectator")
TABLE = "roles.toml"
LEDGER = "ledger"
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_TABLE_HEAD = """\
# Who may come in, and as what: "public key" = "role". Roles: world, node, keeper, spectator.
# A public key is the line in a file that ends in .public. Doors read this when they open.
"""


def written(key: bytes) -> str:
    """A key as people and files have it, 64 hex digits: fit for shells, TOML and addresses. From ZeroMQ's Z85."""
    return z85.decode(key).hex()


def unwritten(text: str) -> bytes:
    """A key as ZeroMQ takes it, Z85, from 64 hex digits; ValueError for anything else."""
    if not _HEX.fullmatch(text):
        raise ValueError("a key is 64 hex digits")
    return z85.encode(bytes.fromhex(text))


@dataclass(frozen=True)
class Keys:
    """What one process holds: its own pair, the world's public key, and whom its doors let in. Keys are Z85."""

    role: str
    public: bytes
    secret: bytes = field(repr=False)
    world_public: bytes
    world_secret: bytes | None = field(repr=False)
    """Only where the folder has it; a door then shows the world's key, else our own."""
    roles: Mapping[bytes, str]
    """Public key -> role. Without `roles.toml`: only our own key and the world's."""

    @classmethod
    def load(cls, folder: Path, role: str) -> "Keys":
        """The keys of a role from a folder that `make_keys` made, or from a copy with what that role needs."""
        if role not in ROLES:
            raise RunError(f"{folder}: there is no role {role!r}: choose {_choice()}")
        _must_be_folder(folder)
        world_public = _read(folder / f"{WORLD}.public")
        public, secret = _pair(folder, role)
        world_secret = _pair(folder, WORLD)[1] if (folder / f"{WORLD}.secret").exists() else None
        roles = {world_public: WORLD, public: role}
        if (folder / TABLE).exists():
            roles |= _roles(folder / TABLE)
        return cls(role, public, secret, world_public, world_secret, roles)

    @property
    def door(self) -> tuple[bytes, bytes]:
        """The pair that our own door shows, public and secret."""
        return (self.world_public, self.world_secret) if self.world_secret else (self.public, self.secret)


def make_keys(folder: Path) -> list[Path]:
    """Make a pair for each role, one that signs, and the table of roles; says what was written. Overwrites no key."""
    with _told(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = sorted(path.name for path in folder.iterdir())
        if found:
            raise RunError(f"{folder}: is not empty ({found[0]}): choose another folder, keys are never overwritten")
        folder.chmod(0o700)
    made: list[Path] = []
    table = _TABLE_HEAD
    try:
        for role in ROLES:
            public, secret = zmq.curve_keypair()
            _create(folder / f"{role}.secret", f"{written(secret)}\n", 0o600, made)
            _create(folder / f"{role}.public", f"{written(public)}\n", 0o644, made)
            table += f'"{written(public)}" = "{role}"\n'
        public, secret = signing.new_pair()
        _create(folder / f"{LEDGER}.secret", f"{secret.hex()}\n", 0o600, made)
        _create(folder / f"{LEDGER}.public", f"{public.hex()}\n", 0o644, made)
        _create(folder / TABLE, table, 0o644, made)
    except BaseException:
        for path in made:  # half a set of keys opens nothing
            with suppress(OSError):
                path.unlink()
        raise
    return made


def load_chain_secret(folder: Path) -> bytes | None:
    """What a world's ledger is signed with; None where the keys were made before there were ledgers."""
    _must_be_folder(folder)
    if not (folder / f"{LEDGER}.secret").exists():
        return None
    secret = bytes.fromhex(written(_read(folder / f"{LEDGER}.secret")))
    if signing.public_of(secret) != load_chain_public(folder):
        raise RunError(f"{folder}: {LEDGER}.public and {LEDGER}.secret are of different pairs: copy both again")
    return secret


def load_chain_public(folder: Path) -> bytes:
    """The key that the ledgers of a world are signed with, as those need it who verify."""
    _must_be_folder(folder)
    return bytes.fromhex(written(_read(folder / f"{LEDGER}.public")))


def best_role(folder: Path) -> str:
    """The role in a folder that may do most, as those who give commands need it."""
    _must_be_folder(folder)
    for role in (KEEPER, NODE, SPECTATOR):
        if (folder / f"{role}.secret").exists():
            return role
    raise RunError(f"{folder}: there is no secret key of {_choice(KEEPER, NODE, SPECTATOR)}: {_mend(folder)}")


def _choice(*roles: str) -> str:
    *most, last = roles or ROLES
    return f"{', '.join(most)} or {last}"


def _mend(folder: Path) -> str:
    return f"get it from who made the keys, or make keys with: umwelt keys {folder}"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read or written: {error.strerror or error}: see whose it is, or choose another folder"
        ) from None


def _create(path: Path, text: str, mode: int, made: list[Path]) -> None:
    with _told(path):
        # born with its mode: between creating and narrowing, others could open it
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        made.append(path)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)


def _must_be_folder(folder: Path) -> None:
    with _told(folder):
        if not folder.is_dir():
            raise RunError(f"{folder}: is no folder with keys: {_mend(folder)}")


def _read(path: Path) -> bytes:
    with _told(path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise RunError(f"{path}: is missing: {_mend(path.parent)}") from None
    try:
        return unwritten(text.decode("ascii").strip())
    except ValueError:
        raise RunError(f"{path}: is no key, which is one line of 64 hex digits: copy the file again") from None


def _pair(folder: Path, role: str) -> tuple[bytes, bytes]:
    public, secret = _read(folder / f"{role}.public"), _read(folder / f"{role}.secret")
    if zmq.curve_public(secret) != public:
        raise RunError(f"{folder}: {role}.public and {role}.secret are of different pairs: copy both again")
    return public, secret


def _roles(path: Path) -> dict[bytes, str]:
    with _told(path):
        raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
        table = tomllib.loads(text)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise RunError(f'{path}: cannot be read: {reason}: each line is "PUBLIC KEY" = "ROLE"') from None
    roles: dict[bytes, str] = {}
    for key, role in table.items():
        line = next((n for n, one in enumerate(text.splitlines(), 1) if one.lstrip(" \t\"'[").startswith(key)), 1)
        here = f"{path}: line {line}"
        if role not in ROLES:
            raise RunError(f"{here}: no role is called {role!r}: choose {_choice()}")
        try:
            public = unwritten(key)
        except ValueError:
            raise RunError(f"{here}: {key!r} is no public key, which is 64 hex digits: copy it again") from None
        if roles.get(public, role) != role:
            raise RunError(f"{here}: the key has the role {roles[public]!r} in an earlier line: keep one of them")
        roles[public] = role
    return roles
