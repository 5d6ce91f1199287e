"""The hash chain of a run: how it is computed, checked and compared. Works on rows in memory, without files.

By the hash chain, later changes of the run's files are detected. The most important file is the journal: it contains
all commands, and the digest (a 64-bit sum over the state of the world) of many ticks. The hash chain consists of two
chains of BLAKE2b hashes, the links and the items, and of heads that bind both.

**Links** cover the history of the world: the world file, the commands, and the resulting digests.

    first link     covers the world file, and the digest of the link's tick
    other links    cover the previous link, the commands since its tick (tick, number, content), and a digest

There is one link every `GRID_TICKS` ticks, at the multiples, where all nodes always report digests. Digests of other
ticks are reported only when a snapshot is taken, which depends on timing, so they are not links. The links therefore
depend on the history alone: the number of nodes, crashes, replays and resumes do not change them, and a replay of the
run can recompute them. Two runs share their history up to the last link that they have in common; a fork keeps the
links of its source.

**Items** cover the other content of the run's folder: commands in the order of submission, with their tickets; digests
between links; and, for each kept snapshot, its manifest (which holds the hashes of its parts) and constants. Two runs
with the same history have different items, so a comparison of runs ignores them. The first item holds the version of
the chain, the hash of the world file, and the tick at which the chain began: 0, unless the run is a fork or its journal
was lost.

**Heads** hold the last link and the last item at the time when the head was entered. They are signed if the run has
keys.

Temporary snapshots are in neither chain, since they are deleted after seconds. They are checked against the digest of
their tick.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from umwelt.cluster.formats import CHAIN_FORMAT, unreadable_format
from umwelt.cluster.wire import signing

GRID_TICKS = 8
"""Number of ticks between links. Changing it changes the links of every run."""
START, COMMAND, DIGEST, SNAPSHOT = "start", "command", "digest", "snapshot"
"""The kinds of items."""
_PERSON = b"umwelt chain %d" % CHAIN_FORMAT
_JOURNAL, _FIX = "journal.sqlite", "take the journal from a copy"
_STARTS_WITH_NUMBER = re.compile(r"[0-9]{1,18} ")
_VERSION = re.compile(r"([1-9][0-9]{0,8}) [0-9a-f]{64}")


class CommandRow(NamedTuple):
    """A row of the journal's table of commands."""

    number: int
    tick: int
    ticket: bytes
    content: bytes


class Link(NamedTuple):
    """A link of the chain; `covers` is the hash of the commands since the previous link, or of the world file."""

    tick: int
    covers: str
    digest: str
    hash: str


class Item(NamedTuple):
    """An item of the chain; `kind` determines what `content` holds.

    For "start" it is the version of the chain and the hash of the world file, for "command" the number of the command
    and a hash of it, for "digest" the digest, and for "snapshot" the hashes of its manifest and of its constants.
    """

    number: int
    kind: str
    tick: int
    content: str
    hash: str


class Head(NamedTuple):
    """The tick and hash of the last link, and the number and hash of the last item, when the head was entered.

    `public` (the public key) and `signature` are hexadecimal, or empty if the run has no keys.
    """

    tick: int
    link: str
    number: int
    item: str
    public: str
    signature: str


@dataclass(frozen=True)
class Rows:
    """All rows of a journal that the hash chain consists of or covers, with their values unchecked.

    `digests` are hexadecimal, by tick.
    """

    digests: Mapping[int, str]
    commands: Sequence[CommandRow]
    links: Sequence[Link]
    items: Sequence[Item]
    heads: Sequence[Head]

    @property
    def exists(self) -> bool:
        """Whether the journal has a hash chain."""
        return bool(self.links or self.items or self.heads)


class Fault(NamedTuple):
    """A detected change: the earliest tick that it affects, and a one-line message with the change and its remedy."""

    tick: int
    line: str


# --- computing


def hash_fields(*fields: str | bytes | int) -> str:
    """Returns the hash of a sequence of fields, as 64 hexadecimal digits; the length of each field is hashed, too."""
    state = hashlib.blake2b(digest_size=32, person=_PERSON)
    for field in fields:
        content = field if isinstance(field, bytes) else str(field).encode("utf-8", "surrogatepass")
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
    return state.hexdigest()


def hash_world(text: bytes) -> str:
    """Returns the hash of a run's world file, whose content is `text`, as 64 hexadecimal digits."""
    return hash_fields("world", text)


def hash_commands(commands: Iterable[CommandRow]) -> str:
    """Returns the hash of commands, given in the order in which they take effect. Tickets are not hashed."""
    fields: list[str | bytes | int] = ["commands"]
    for command in commands:
        fields += [command.tick, command.number, command.content]
    return hash_fields(*fields)


def next_link(previous: Link | None, tick: int, covers: str, digest: str) -> Link:
    """Returns the link that follows `previous`, or the first link if `previous` is None."""
    previous_hash = previous.hash if previous is not None else ""
    return Link(tick, covers, digest, hash_fields("link", previous_hash, tick, covers, digest))


def next_item(previous: Item | None, kind: str, tick: int, content: str) -> Item:
    """Returns the item that follows `previous`, or the first item if `previous` is None."""
    number, previous_hash = (previous.number + 1, previous.hash) if previous is not None else (1, "")
    return Item(number, kind, tick, content, hash_fields("item", previous_hash, number, kind, tick, content))


def start_content(world: bytes) -> str:
    """Returns the content of the first item: the version of the chain and the hash of the world file `world`."""
    return f"{CHAIN_FORMAT} {hash_world(world)}"


def world_hash_of(first: Item) -> str:
    """Returns the hash of the world file from the content of the first item."""
    return first.content.partition(" ")[2]


def command_content(command: CommandRow) -> str:
    """Returns the content of the item for a command: its number, and the hash of its row."""
    return f"{command.number} {hash_fields('command', *command)}"


def snapshot_content(manifest: bytes, constants: str) -> str:
    """Returns the content of the item for a snapshot: the hash of its manifest's text, and `constants`.

    `constants` is the hash of the files of the snapshot's constants.
    """
    return f"{hash_fields('manifest', manifest)} {constants}"


def head_message(head: Head) -> bytes:
    """Returns the bytes that the signature of a head signs."""
    return hash_fields("head", head.tick, head.link, head.number, head.item).encode("ascii")


def make_head(link: Link, item: Item, secret: bytes | None) -> Head:
    """Returns the head of a chain that ends with `link` and `item`, signed with the key `secret` if there is one."""
    head = Head(link.tick, link.hash, item.number, item.hash, "", "")
    if secret is None:
        return head
    signature = signing.sign(secret, head_message(head))
    return head._replace(public=signing.public_key(secret).hex(), signature=signature.hex())


# --- checking


def check_version(rows: Rows) -> None:
    """Raises `RunError` if the chain has another format version."""
    match = _VERSION.fullmatch(rows.items[0].content) if rows.items else None
    if match is not None and rows.items[0].kind == START and int(match[1]) != CHAIN_FORMAT:
        raise unreadable_format(_JOURNAL, "hash chain", int(match[1]), CHAIN_FORMAT)


def find_fault(rows: Rows, world: bytes) -> Fault | None:
    """Returns the first fault of the chain, the rows that it covers, or the world file; None if all match.

    Raises `RunError` if the chain has another format version.
    """
    check_version(rows)
    return next(chain(_faults_of_items(rows, world), _faults_of_links(rows, world), _faults_of_heads(rows)), None)


def _faults_of_items(rows: Rows, world: bytes) -> Iterator[Fault]:
    """Yields the faults of the items, and of the commands and digests that must have an item or a link.

    `world` is the content of the world file.
    """
    if not rows.items:
        yield Fault(0, f"{_JOURNAL}: all items of the hash chain are missing: {_FIX}")
    previous = None
    commands, entered_numbers = {command.number: command for command in rows.commands}, set()
    chained_ticks = {link.tick for link in rows.links}
    for number, item in enumerate(rows.items, 1):
        if item.number != number:
            yield Fault(item.tick, f"{_JOURNAL}: item {number} of the hash chain is missing: {_FIX}")
        if item != next_item(previous, item.kind, item.tick, item.content) or (item.kind == START) != (number == 1):
            yield Fault(
                item.tick, f"{_JOURNAL}: item {number} of the hash chain (tick {item.tick}) was changed: {_FIX}"
            )
        if item.kind == START and item.content != start_content(world):
            yield Fault(0, "world.toml: is not the world that the hash chain began with: restore it")
        if item.kind == DIGEST:
            chained_ticks.add(item.tick)
            yield from _faults_of_digest(item.tick, item.content, rows.digests)
        if item.kind == COMMAND:
            command_number = int(item.content.split(" ")[0]) if _STARTS_WITH_NUMBER.match(item.content) else -1
            entered_numbers.add(command_number)
            yield from _faults_of_command(item, command_number, commands.get(command_number))
        previous = item
    for command in rows.commands:
        if command.number not in entered_numbers:
            yield Fault(
                command.tick, f"{_JOURNAL}: command {command.number} (tick {command.tick}) was never entered: {_FIX}"
            )
    for tick in rows.digests:
        if tick not in chained_ticks:
            yield Fault(tick, f"{_JOURNAL}: the digest of tick {tick} is not in the hash chain: {_FIX}")


def _faults_of_command(item: Item, number: int, command: CommandRow | None) -> Iterator[Fault]:
    """Yields a fault unless `command`, the journal's command with that number, matches its item."""
    if command is None:
        yield Fault(item.tick, f"{_JOURNAL}: command {number} (tick {item.tick}) is missing: {_FIX}")
    elif command_content(command) != item.content or command.tick != item.tick:
        yield Fault(item.tick, f"{_JOURNAL}: command {number} (tick {item.tick}) is not what was entered: {_FIX}")


def _faults_of_digest(tick: int, chained: str, digests: Mapping[int, str]) -> Iterator[Fault]:
    """Yields a fault unless the journal's digest of `tick` equals `chained`, the one in the hash chain."""
    stored = digests.get(tick)
    if stored != chained:
        shown = "missing" if stored is None else f"{stored!r}"
        yield Fault(
            tick, f"{_JOURNAL}: the digest of tick {tick} is {shown}, was {chained!r} when it was entered: {_FIX}"
        )


def _faults_of_links(rows: Rows, world: bytes) -> Iterator[Fault]:
    """Yields the faults of the links, and of the commands, digests and world file that they cover."""
    previous: Link | None = None
    commands = sorted(rows.commands, key=lambda command: (command.tick, command.number))
    next_command = 0
    for link in rows.links:
        if previous is not None and link.tick != previous.tick + GRID_TICKS:
            between = f"between ticks {previous.tick} and {link.tick}"
            yield Fault(
                previous.tick + GRID_TICKS, f"{_JOURNAL}: links of the hash chain {between} are missing: {_FIX}"
            )
        if link != next_link(previous, link.tick, link.covers, link.digest):
            yield Fault(link.tick, f"{_JOURNAL}: the link of tick {link.tick} in the hash chain was changed: {_FIX}")
        yield from _faults_of_digest(link.tick, link.digest, rows.digests)
        due = []
        while next_command < len(commands) and commands[next_command].tick < link.tick:
            due.append(commands[next_command])
            next_command += 1
        if previous is None and link.covers != hash_world(world):
            yield Fault(link.tick, "world.toml: is not the world of the first link in the hash chain: restore it")
        if previous is not None and link.covers != hash_commands(due):
            ticks = f"{previous.tick} to {link.tick - 1}"
            yield Fault(previous.tick, f"{_JOURNAL}: commands of ticks {ticks} are not those in the hash chain: {_FIX}")
        previous = link


def _faults_of_heads(rows: Rows) -> Iterator[Fault]:
    """Yields the faults of the heads: a link or item that is missing, or a wrong signature."""
    links = {link.tick: link.hash for link in rows.links}
    for number, head in enumerate(rows.heads, 1):
        place = f"{_JOURNAL}: head {number} of the hash chain (tick {head.tick})"
        if links.get(head.tick) != head.link:
            last = rows.links[-1].tick if rows.links else "none"
            yield Fault(head.tick, f"{place}: its link is missing, the last is of tick {last}: {_FIX}")
        if not 0 < head.number <= len(rows.items) or rows.items[head.number - 1].hash != head.item:
            yield Fault(head.tick, f"{place}: its item is missing, the last is {len(rows.items)}: {_FIX}")
        if (head.public or head.signature) and not _is_signed(head):
            yield Fault(head.tick, f"{place}: its signature is not of the key it names: {_FIX}")


def _is_signed(head: Head) -> bool:
    """Returns whether the signature of a head is valid for the public key that the head contains."""
    try:
        public, signature = bytes.fromhex(head.public), bytes.fromhex(head.signature)
    except ValueError:
        return False
    is_canonical = (public.hex(), signature.hex()) == (head.public, head.signature)
    return is_canonical and signing.verify(public, head_message(head), signature)


def find_signer_fault(rows: Rows, public: bytes) -> Fault | None:
    """Returns a fault if no head is signed, or one is signed by another key than `public`; None otherwise.

    `rows` must have no other fault (`find_fault`).
    """
    signed_heads = [head for head in rows.heads if head.signature]
    for head in signed_heads:
        if head.public != public.hex():
            signer = f"is signed by another key, {head.public}"
            fix = "ask whose key that is, or do not trust the run"
            return Fault(head.tick, f"{_JOURNAL}: the head of tick {head.tick} {signer}: {fix}")
    if not signed_heads:
        return Fault(0, f"{_JOURNAL}: no head is signed by the given key: do not trust the run")
    return None


# --- comparing


@dataclass(frozen=True)
class Comparison:
    """How the histories of two runs, `first` and `second`, relate.

    `relation` is "same", "past" (the first run is the past of the second), "future" (the reverse), "parted" (they
    differ after a shared past), "nothing" (they share no history), or "forged" (a run does not match its own hash
    chain).
    """

    relation: str
    shared_tick: int = -1
    """The last tick up to which the histories are known to be equal; -1 if there is none."""
    parted_tick: int | None = None
    """Tick of the first differing command, or of the first differing digest if earlier; None if nothing differs."""
    by_command: bool = False
    """Whether the first difference is one of commands, not of digests."""


def compare_rows(first: Rows, second: Rows) -> Comparison:
    """Compares two histories by their links, commands and digests; both must have no fault (`find_fault`)."""
    links, other_links = first.links, {link.tick: link for link in second.links}
    shared_tick = -1
    for link in links:
        if link.tick in other_links and other_links[link.tick].hash == link.hash:
            shared_tick = link.tick
    if shared_tick < 0:
        return Comparison("nothing")
    ends = [max([shared_tick, *rows.digests]) for rows in (first, second)]
    by_number = [
        {(command.tick, command.number): command.content for command in rows.commands if command.tick >= shared_tick}
        for rows in (first, second)
    ]
    differing_command_ticks = [
        key[0] for key in by_number[0].keys() | by_number[1].keys() if by_number[0].get(key) != by_number[1].get(key)
    ]
    first_command = min((tick for tick in differing_command_ticks if tick < min(ends)), default=None)
    common_ticks = sorted(tick for tick in first.digests.keys() & second.digests.keys() if tick > shared_tick)
    equal_ticks = [tick for tick in common_ticks if first.digests[tick] == second.digests[tick]]
    first_digest = next((tick for tick in common_ticks if first.digests[tick] != second.digests[tick]), None)
    if first_command is not None and (first_digest is None or first_command < first_digest):
        return Comparison("parted", first_command, first_command, True)
    if first_digest is not None:
        last_equal = max([shared_tick, *(tick for tick in equal_ticks if tick < first_digest)])
        return Comparison("parted", last_equal, first_digest)
    relation = "same" if ends[0] == ends[1] else "past" if ends[0] < ends[1] else "future"
    return Comparison(relation, min(ends))
