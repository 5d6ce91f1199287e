"""Key files: secrets are readable by their owner only, files are never overwritten, and errors are one line."""

import os
import shutil
import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth

from umwelt.cluster.wire import keys, signing
from umwelt.cluster.wire.keys import ROLES, Keys, best_role, make_keys
from umwelt.sandbox.errors import RunError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "keys"
    make_keys(made)
    return made


def copied(folder, to, *names):
    """Copies the named files of a folder to a new folder `to`; returns that."""
    to.mkdir()
    for name in names:
        shutil.copy(folder / name, to)
    return to


def line_of(error) -> str:
    """Asserts that an error has one line; returns it."""
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


def test_the_hash_chain_has_its_own_key_pair_which_has_no_role(folder, tmp_path):
    public, secret = keys.load_chain_public(folder), keys.load_chain_secret(folder)
    assert signing.public_key(secret) == public
    assert public.hex() not in (folder / "roles.toml").read_text()
    assert keys.load_chain_public(copied(folder, tmp_path / "a", "chain.public")) == public
    assert keys.load_chain_secret(copied(folder, tmp_path / "b", "chain.public", "world.public")) is None
    (folder / "chain.public").write_bytes((folder / "node.public").read_bytes())
    with pytest.raises(RunError, match=r"chain\.public and chain\.secret are of different pairs") as error:
        keys.load_chain_secret(folder)
    line_of(error)
    (folder / "chain.public").unlink()
    with pytest.raises(RunError, match=r"chain\.public: is missing") as error:
        keys.load_chain_public(folder)
    line_of(error)


def test_secrets_are_readable_by_the_owner_alone_from_the_start(tmp_path, monkeypatch):
    folder_modes, file_modes = [], []
    create, rename = keys.zmq.auth.create_certificates, Path.rename

    def watched_create(folder, *rest):
        folder_modes.append(stat.S_IMODE(Path(folder).stat().st_mode))
        return create(folder, *rest)

    def watched_rename(path, target):
        if Path(target).parent == tmp_path / "keys" and path.suffix == ".secret":
            file_modes.append(stat.S_IMODE(path.stat().st_mode))
        return rename(path, target)

    monkeypatch.setattr(keys.zmq.auth, "create_certificates", watched_create)
    monkeypatch.setattr(Path, "rename", watched_rename)
    before = os.umask(0)
    try:
        make_keys(tmp_path / "keys")
    finally:
        os.umask(before)
    assert folder_modes == [0o700] * len(ROLES) and file_modes == [0o600] * (len(ROLES) + 1)
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


def test_two_processes_cannot_make_keys_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "_write_files", lambda folder: make_keys(tmp_path / "keys"))
    with pytest.raises(RunError, match="never overwritten"):
        make_keys(tmp_path / "keys")
    assert list((tmp_path / "keys").iterdir()) == []


def test_an_incomplete_set_of_keys_is_deleted(tmp_path, monkeypatch):
    pairs = iter([zmq.curve_keypair(), OSError(28, "No space left on device")])

    def failing():
        one = next(pairs)
        if isinstance(one, OSError):
            raise one
        return one

    monkeypatch.setattr(keys.zmq, "curve_keypair", failing)
    with pytest.raises(RunError, match="No space left"):
        make_keys(tmp_path / "keys")
    assert list((tmp_path / "keys").iterdir()) == []


def test_key_files_are_certificates_of_zmq_and_carry_their_format(folder):
    for role in ROLES:
        public, secret = zmq.auth.load_certificate(folder / f"{role}.secret")
        assert zmq.auth.load_certificate(folder / f"{role}.public") == (public, None)
        assert zmq.curve_public(secret) == public
    assert all("format = 1\n" in path.read_text() for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "role"),
    [("node.secret", "node"), ("world.public", "node"), ("roles.toml", "node"), ("chain.public", "chain")],
)
@pytest.mark.parametrize("version", ["2", "0"])
def test_files_of_another_format_are_refused_with_both_versions(folder, name, role, version):
    path = folder / name
    path.write_text(path.read_text().replace("format = 1", f"format = {version}"))
    with pytest.raises(RunError) as error:
        keys.load_chain_secret(folder) if role == "chain" else Keys.load(folder, role)
    assert f"format {version}, this Umwelt reads format 1: use the Umwelt that wrote it" in line_of(error)
    assert name in line_of(error)


def test_a_certificate_that_zmq_made_elsewhere_is_a_key_file(folder, tmp_path):
    public_file, secret_file = zmq.auth.create_certificates(tmp_path, "mine")
    shutil.copy(public_file, folder / "keeper.public")
    shutil.copy(secret_file, folder / "keeper.secret")
    assert Keys.load(folder, "keeper").public == zmq.auth.load_certificate(public_file)[0]


def test_a_joining_node_needs_the_public_key_of_the_world_and_its_own_pair(folder, tmp_path):
    joined = Keys.load(copied(folder, tmp_path / "a", "world.public", "node.public", "node.secret"), "node")
    assert joined.world_secret is None and joined.server_pair == (joined.public, joined.secret)
    assert joined.roles == {joined.public: "node", joined.world_public: "world"}
    looks = Keys.load(
        copied(folder, tmp_path / "b", "world.public", "spectator.public", "spectator.secret"), "spectator"
    )
    assert looks.role == "spectator" and looks.world_secret is None
    assert Keys.load(folder, "node").server_pair[0] == looks.world_public


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
        table.write(f'"{public.decode()}" = "keeper"  # the neighbour\n')
    assert Keys.load(folder, "world").roles[public] == "keeper"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"abc" = "node"', "line 9.*'abc' is not a public key"),
        (f'"{"0" * 40}" = "king"', "line 9.*'king'.*world, node, keeper or spectator"),
        (f'"{"0" * 40}" = 7', "line 9.*no role 7"),
        (f'"{"#" * 40}" = "node"', "line 9.*is not a public key"),
        (f'"{"~" * 40}" = "node"', "line 9.*is not a public key"),
        (f'"{"0" * 40}" = "node"\n"{"0" * 40}" = "keeper"', "cannot be read.*line 10"),
        ('"abc = "node"', "cannot be read.*line 9"),
        (f'[{"0" * 40}]\nx = "node"', "line 9.*no role"),
    ],
)
def test_bad_lines_of_the_table_are_named(folder, line, said):
    table = folder / "roles.toml"
    assert len(table.read_text().splitlines()) == 7
    table.write_text(table.read_text() + "\n" + line + "\n")
    with pytest.raises(RunError, match=said) as error:
        Keys.load(folder, "world")
    assert "roles.toml" in line_of(error)


def test_key_files_that_cannot_be_read_are_named(folder, tmp_path):
    with pytest.raises(RunError, match=r"nowhere.*umwelt keys") as error:
        Keys.load(tmp_path / "nowhere", "node")
    line_of(error)
    with pytest.raises(RunError, match="no role 'king'") as error:
        Keys.load(folder, "king")
    line_of(error)
    (folder / "node.secret").write_text("not a key\nat all\n")
    with pytest.raises(RunError, match=r"node\.secret: is not a key file") as error:
        Keys.load(folder, "node")
    line_of(error)
    (folder / "node.secret").write_bytes((folder / "node.public").read_bytes())
    with pytest.raises(RunError, match=r"node\.secret: holds no secret key") as error:
        Keys.load(folder, "node")
    line_of(error)
    (folder / "node.secret").write_bytes(b"# " + bytes(keys.MAX_FILE_BYTES))
    with pytest.raises(RunError, match=r"node\.secret: has more than 65,536 bytes") as error:
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
