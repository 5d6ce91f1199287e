"""Keys: secret from the moment they exist, never overwritten, and every mistake with them is one line."""

import os
import shutil
import stat

import pytest
import zmq

from umwelt.cluster.wire import keys, signing
from umwelt.cluster.wire.keys import ROLES, Keys, best_role, make_keys
from umwelt.sandbox.errors import RunError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "keys"
    make_keys(made)
    return made


def copied(folder, to, *names):
    to.mkdir()
    for name in names:
        shutil.copy(folder / name, to)
    return to


def line_of(error) -> str:
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text
    return text


def test_every_role_has_a_pair_that_loads(folder):
    seen = set()
    for role in ROLES:
        held = Keys.load(folder, role)
        assert held.role == role and held.roles[held.public] == role
        assert zmq.curve_public(held.secret) == held.public
        assert held.world_public == Keys.load(folder, "world").public
        seen.add(held.public)
    assert len(seen) == len(ROLES)
    assert Keys.load(folder, "node").roles == dict(sorted(Keys.load(folder, "world").roles.items()))


def test_the_ledger_has_a_pair_of_its_own_that_opens_no_door(folder, tmp_path):
    public, secret = keys.load_chain_public(folder), keys.load_chain_secret(folder)
    assert signing.public_of(secret) == public
    assert public.hex() not in (folder / "roles.toml").read_text()
    assert keys.load_chain_public(copied(folder, tmp_path / "a", "ledger.public")) == public
    assert keys.load_chain_secret(copied(folder, tmp_path / "b", "ledger.public", "world.public")) is None
    (folder / "ledger.public").write_bytes((folder / "node.public").read_bytes())
    with pytest.raises(RunError, match=r"ledger\.public and ledger\.secret are of different pairs") as error:
        keys.load_chain_secret(folder)
    line_of(error)
    (folder / "ledger.public").unlink()
    with pytest.raises(RunError, match=r"ledger\.public: is missing") as error:
        keys.load_chain_public(folder)
    line_of(error)


def test_secrets_are_born_for_the_owner_alone(tmp_path, monkeypatch):
    modes = []
    real = os.open

    def watching(path, flags, mode=0o777, **rest):
        handle = real(path, flags, mode, **rest)
        modes.append((os.fspath(path), stat.S_IMODE(os.fstat(handle).st_mode)))
        return handle

    monkeypatch.setattr(keys.os, "open", watching)
    before = os.umask(0)
    try:
        make_keys(tmp_path / "keys")
    finally:
        os.umask(before)
    at_birth = {mode for path, mode in modes if path.endswith(".secret")}
    assert at_birth == {0o600} and len(modes) == 2 * len(ROLES) + 3
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "keys").glob("*.secret"))


def test_the_secret_is_not_shown_by_accident(folder):
    held = Keys.load(folder, "world")
    assert held.secret.decode() not in repr(held) and repr(held.secret) not in repr(held)


def test_existing_keys_are_never_overwritten(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RunError) as error:
        make_keys(folder)
    assert "never overwritten" in line_of(error)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_set_that_cannot_be_finished_is_taken_back(tmp_path, monkeypatch):
    pairs = iter([zmq.curve_keypair(), OSError(28, "No space left on device")])

    def failing():
        one = next(pairs)
        if isinstance(one, OSError):
            raise one
        return one

    monkeypatch.setattr(keys.zmq, "curve_keypair", failing)
    with pytest.raises(OSError):
        make_keys(tmp_path / "keys")
    assert list((tmp_path / "keys").iterdir()) == []


def test_who_joins_needs_the_worlds_public_key_and_his_own_pair(folder, tmp_path):
    joined = Keys.load(copied(folder, tmp_path / "a", "world.public", "node.public", "node.secret"), "node")
    assert joined.world_secret is None and joined.door == (joined.public, joined.secret)
    assert joined.roles == {joined.public: "node", joined.world_public: "world"}
    looks = Keys.load(
        copied(folder, tmp_path / "b", "world.public", "spectator.public", "spectator.secret"), "spectator"
    )
    assert looks.role == "spectator" and looks.world_secret is None
    assert Keys.load(folder, "node").door[0] == looks.world_public


def test_commands_take_the_role_that_may_do_most(folder, tmp_path):
    assert best_role(folder) == "keeper"
    assert (
        best_role(copied(folder, tmp_path / "a", "world.public", "spectator.public", "spectator.secret")) == "spectator"
    )
    (folder / "keeper.secret").unlink()
    assert best_role(folder) == "node"
    with pytest.raises(RunError, match=r"keeper, node or spectator"):
        best_role(copied(folder, tmp_path / "b", "world.public"))
    with pytest.raises(RunError, match="umwelt keys"):
        best_role(tmp_path / "nowhere")


def test_a_person_may_add_a_key(folder):
    public, _ = zmq.curve_keypair()
    with (folder / "roles.toml").open("a") as table:
        table.write(f'"{keys.written(public)}" = "keeper"  # the neighbour\n')
    assert Keys.load(folder, "world").roles[public] == "keeper"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"abc" = "node"', "line 8.*'abc' is no public key"),
        (f'"{"0" * 64}" = "king"', "line 8.*'king'.*world, node, keeper or spectator"),
        (f'"{"0" * 64}" = 7', "line 8.*no role is called 7"),
        (f'"{"a" * 64}" = "node"\n"{"A" * 64}" = "keeper"', "line 9.*earlier line"),
        ('"abc = "node"', "cannot be read.*line 8"),
        (f'[{"0" * 64}]\nx = "node"', "line 8.*no role"),
    ],
)
def test_bad_lines_of_the_table_are_named(folder, line, said):
    table = folder / "roles.toml"
    assert len(table.read_text().splitlines()) == 6
    table.write_text(table.read_text() + "\n" + line + "\n")
    with pytest.raises(RunError, match=said) as error:
        Keys.load(folder, "world")
    assert "roles.toml" in line_of(error)


def test_what_cannot_be_read_is_named(folder, tmp_path):
    with pytest.raises(RunError, match=r"nowhere.*umwelt keys") as error:
        Keys.load(tmp_path / "nowhere", "node")
    line_of(error)
    with pytest.raises(RunError, match="no role 'king'") as error:
        Keys.load(folder, "king")
    line_of(error)
    (folder / "node.secret").write_text("not a key\nat all\n")
    with pytest.raises(RunError, match=r"node\.secret.*64 hex digits") as error:
        Keys.load(folder, "node")
    line_of(error)
    (folder / "node.secret").write_bytes((folder / "keeper.secret").read_bytes())
    with pytest.raises(RunError, match="different pairs") as error:
        Keys.load(folder, "node")
    line_of(error)
    (folder / "node.secret").unlink()
    with pytest.raises(RunError, match=r"node\.secret: is missing") as error:
        Keys.load(folder, "node")
    line_of(error)
    (folder / "node.secret").mkdir()
    with pytest.raises(RunError, match=r"node\.secret: cannot be read") as error:
        Keys.load(folder, "node")
    line_of(error)
    (folder / "world.public").unlink()
    with pytest.raises(RunError, match=r"world\.public: is missing"):
        Keys.load(folder, "keeper")
