"""The ledger: two chains of BLAKE2b hashes in the journal, and what can be told of a run by them. Rows in, words out.

**Links** chain the world's history, and nothing else: its text, what people did, and what came of it.

    the first    the world text, the digest of its tick
    every other  the link before, the commands in force since its tick (tick, number, content), the digest of its tick

There is one link every `GRID_TICKS`, at the multiples, where all nodes always report. Snapshots bring digests of ticks
between, but when one is taken is a matter of timing: so those are no links. Hence the links are a function of the
history alone: any number of nodes, kills, replays and resumes give the same, and whoever replays can compute them.
Two runs share their past as far as they share links; a fork keeps those of its source.

**Items** chain what else is in a run's folder, its own: commands in the order of asking, and who asked; digests
between the links; the manifests of kept snapshots (which carry hashes of their parts) and their constants. Two runs of
one history have different items, and comparing runs skips them. The first item tells the hash of the world text, and
the tick that was reached when the ledger was begun: 0, unless the run is a fork or older than ledgers.

**Heads** bind both: the last link and the last item at a moment, signed where the run has keys.

Passing marks are in neither chain: they live for seconds, and are held against the digest of their tick.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from umwelt.cluster.wire import signing

GRID_TICKS = 8
"""Another number makes other chains of the same histories."""
BEGUN, COMMAND, MOMENT, SNAPSHOT = "begun", "command", "moment", "snapshot"
_PERSON = b"umwelt ledger 1"
_HERE, _COPY = "journal.sqlite", "take the journal from a copy"
_NUMBERED = re.compile(r"[0-9]{1,18} ")


class CommandRow(NamedTuple):
    """A row of the journal's commands."""

    number: int
    tick: int
    ticket: bytes
    content: bytes


class Link(NamedTuple):
    """A link of the history; `covers` is the hash of the commands since the link before, or of the world text."""

    tick: int
    covers: str
    digest: str
    hash: str


class Item(NamedTuple):
    """An entry of what else a run keeps."""

    number: int
    kind: str
    tick: int
    what: str
    hash: str


class Head(NamedTuple):
    """The last link and the last item at a moment, with their hashes; key and signature are hex, or empty."""

    tick: int
    link: str
    number: int
    item: str
    public: str
    signature: str


@dataclass(frozen=True)
class Rows:
    """What a journal holds of all this, as it stands there."""

    digests: Mapping[int, str]
    commands: Sequence[CommandRow]
    links: Sequence[Link]
    items: Sequence[Item]
    heads: Sequence[Head]

    @property
    def begun(self) -> bool:
        """Whether there is a ledger."""
        return bool(self.links or self.items or self.heads)


class Fault(NamedTuple):
    """What was changed, at which tick, and what to do; as one line."""

    tick: int
    line: str


# --- making


def hashed(*fields: str | bytes | int) -> str:
    """The hash of some fields, each told apart by its length."""
    found = hashlib.blake2b(digest_size=32, person=_PERSON)
    for one in fields:
        content = one if isinstance(one, bytes) else str(one).encode("utf-8", "surrogatepass")
        found.update(len(content).to_bytes(8, "little"))
        found.update(content)
    return found.hexdigest()


def hash_of_world(text: bytes) -> str:
    """The hash of a frozen world file."""
    return hashed("world", text)


def hash_of_commands(commands: Iterable[CommandRow]) -> str:
    """The hash of commands in the order in which they take effect; who asked for them is no part of history."""
    fields: list[str | bytes | int] = ["commands"]
    for command in commands:
        fields += [command.tick, command.number, command.content]
    return hashed(*fields)


def link_after(before: Link | None, tick: int, covers: str, digest: str) -> Link:
    """The next link, or the first."""
    previous = before.hash if before is not None else ""
    return Link(tick, covers, digest, hashed("link", previous, tick, covers, digest))


def item_after(before: Item | None, kind: str, tick: int, what: str) -> Item:
    """The next item, or the first."""
    number, previous = (before.number + 1, before.hash) if before is not None else (1, "")
    return Item(number, kind, tick, what, hashed("item", previous, number, kind, tick, what))


def what_of_command(command: CommandRow) -> str:
    """What the item of a command says: its number, and a hash of all of it."""
    return f"{command.number} {hashed('command', *command)}"


def message_of(head: Head) -> bytes:
    """What is signed of a head."""
    return hashed("head", head.tick, head.link, head.number, head.item).encode("ascii")


def signed_head(link: Link, item: Item, secret: bytes | None) -> Head:
    """The head of both chains, signed if there is a key."""
    head = Head(link.tick, link.hash, item.number, item.hash, "", "")
    if secret is None:
        return head
    signature = signing.signed(secret, message_of(head))
    return head._replace(public=signing.public_of(secret).hex(), signature=signature.hex())


def papers(manifest: bytes, constants: str) -> str:
    """What the item of a snapshot says: a hash of its manifest's text, and one of the files of its constants."""
    return f"{hashed('manifest', manifest)} {constants}"


# --- checking


def fault_in(rows: Rows, world: bytes) -> Fault | None:
    """The first thing in a journal that does not fit its ledger, or the world text that does not; None if all fits."""
    return next(chain(_faults_of_items(rows, world), _faults_of_links(rows, world), _faults_of_heads(rows)), None)


def _faults_of_items(rows: Rows, world: bytes) -> Iterator[Fault]:
    if not rows.items:
        yield Fault(0, f"{_HERE}: all items of the ledger are missing: {_COPY}")
    before = None
    commands, entered = {command.number: command for command in rows.commands}, set()
    ticks = {link.tick for link in rows.links}
    for at, item in enumerate(rows.items, 1):
        if item.number != at:
            yield Fault(item.tick, f"{_HERE}: item {at} of the ledger is missing: {_COPY}")
        if item != item_after(before, item.kind, item.tick, item.what) or (item.kind == BEGUN) != (at == 1):
            yield Fault(item.tick, f"{_HERE}: item {at} of the ledger (tick {item.tick}) was changed: {_COPY}")
        if item.kind == BEGUN and item.what != hash_of_world(world):
            yield Fault(0, "world.toml: is not the world that the ledger was begun with: put it back")
        if item.kind == MOMENT:
            ticks.add(item.tick)
            yield from _faults_of_digest(item.tick, item.what, rows.digests)
        if item.kind == COMMAND:
            number = int(item.what.split(" ")[0]) if _NUMBERED.match(item.what) else -1
            entered.add(number)
            yield from _faults_of_command(item, number, commands.get(number))
        before = item
    for command in rows.commands:
        if command.number not in entered:
            yield Fault(
                command.tick, f"{_HERE}: command {command.number} (tick {command.tick}) was never entered: {_COPY}"
            )
    for tick in rows.digests:
        if tick not in ticks:
            yield Fault(tick, f"{_HERE}: the digest of tick {tick} is not in the ledger: {_COPY}")


def _faults_of_command(item: Item, number: int, command: CommandRow | None) -> Iterator[Fault]:
    if command is None:
        yield Fault(item.tick, f"{_HERE}: command {number} (tick {item.tick}) is missing: {_COPY}")
    elif what_of_command(command) != item.what or command.tick != item.tick:
        yield Fault(item.tick, f"{_HERE}: command {number} (tick {item.tick}) is not what was entered: {_COPY}")


def _faults_of_digest(tick: int, known: str, digests: Mapping[int, str]) -> Iterator[Fault]:
    found = digests.get(tick)
    if found != known:
        told = "missing" if found is None else f"{found!r}"
        yield Fault(tick, f"{_HERE}: the digest of tick {tick} is {told}, was {known!r} when it was entered: {_COPY}")


def _faults_of_links(rows: Rows, world: bytes) -> Iterator[Fault]:
    before: Link | None = None
    commands = sorted(rows.commands, key=lambda command: (command.tick, command.number))
    at = 0
    for link in rows.links:
        if before is not None and link.tick != before.tick + GRID_TICKS:
            between = f"between ticks {before.tick} and {link.tick}"
            yield Fault(before.tick + GRID_TICKS, f"{_HERE}: links of the ledger {between} are missing: {_COPY}")
        if link != link_after(before, link.tick, link.covers, link.digest):
            yield Fault(link.tick, f"{_HERE}: the ledger's link of tick {link.tick} was changed: {_COPY}")
        yield from _faults_of_digest(link.tick, link.digest, rows.digests)
        due = []
        while at < len(commands) and commands[at].tick < link.tick:
            due.append(commands[at])
            at += 1
        if before is None and link.covers != hash_of_world(world):
            yield Fault(link.tick, "world.toml: is not the world of the ledger's first link: put it back")
        if before is not None and link.covers != hash_of_commands(due):
            ticks = f"{before.tick} to {link.tick - 1}"
            yield Fault(before.tick, f"{_HERE}: commands of ticks {ticks} are not those that were chained: {_COPY}")
        before = link


def _faults_of_heads(rows: Rows) -> Iterator[Fault]:
    links = {link.tick: link.hash for link in rows.links}
    for at, head in enumerate(rows.heads, 1):
        here = f"{_HERE}: head {at} of the ledger (tick {head.tick})"
        if links.get(head.tick) != head.link:
            last = rows.links[-1].tick if rows.links else "none"
            yield Fault(head.tick, f"{here}: its link is not there, the last is of tick {last}: {_COPY}")
        if not 0 < head.number <= len(rows.items) or rows.items[head.number - 1].hash != head.item:
            yield Fault(head.tick, f"{here}: its item is not there, the last is {len(rows.items)}: {_COPY}")
        if (head.public or head.signature) and not _signature_holds(head):
            yield Fault(head.tick, f"{here}: its signature is not of the key it names: {_COPY}")


def _signature_holds(head: Head) -> bool:
    try:
        public, signature = bytes.fromhex(head.public), bytes.fromhex(head.signature)
    except ValueError:
        return False
    as_written = (public.hex(), signature.hex()) == (head.public, head.signature)
    return as_written and signing.holds(public, message_of(head), signature)


def fault_in_signer(rows: Rows, public: bytes) -> Fault | None:
    """Whether the heads of a run are signed, and by no other key than this; for rows in which nothing else is wrong."""
    signed = [head for head in rows.heads if head.signature]
    for head in signed:
        if head.public != public.hex():
            by = f"is signed by another key, {head.public}"
            return Fault(head.tick, f"{_HERE}: the head of tick {head.tick} {by}: ask whose it is, or do not trust it")
    if not signed:
        return Fault(0, f"{_HERE}: no head is signed by the key that was given: do not trust it")
    return None


# --- comparing


@dataclass(frozen=True)
class Comparison:
    """How the histories of two runs, `one` and `other`, stand to each other.

    `relation` is "same", "past" (one is the other's past), "future", "parted", or "nothing" (they share nothing).
    """

    relation: str
    shared_tick: int = -1
    """The last tick of which it is known that they share it."""
    parted_tick: int | None = None
    """Where the first command differs; else the first digest that does."""
    by_command: bool = False


def compared(one: Rows, other: Rows) -> Comparison:
    """How two histories stand to each other, by their links; both have been found without fault."""
    links, theirs = one.links, {link.tick: link for link in other.links}
    shared = -1
    for link in links:
        if link.tick in theirs and theirs[link.tick].hash == link.hash:
            shared = link.tick
    if shared < 0:
        return Comparison("nothing")
    ends = [max([shared, *rows.digests]) for rows in (one, other)]
    end = min(ends)
    by_number = [{(d.tick, d.number): d.content for d in rows.commands if d.tick >= shared} for rows in (one, other)]
    command_ticks = [
        key[0] for key in by_number[0].keys() | by_number[1].keys() if by_number[0].get(key) != by_number[1].get(key)
    ]
    first_command = min((tick for tick in command_ticks if tick < end), default=None)
    both = sorted(tick for tick in one.digests.keys() & other.digests.keys() if tick > shared)
    same = [tick for tick in both if one.digests[tick] == other.digests[tick]]
    differs = next((tick for tick in both if one.digests[tick] != other.digests[tick]), None)
    if first_command is not None and (differs is None or first_command < differs):
        return Comparison("parted", first_command, first_command, True)
    if differs is not None:
        return Comparison("parted", max([shared, *(tick for tick in same if tick < differs)]), differs)
    relation = "same" if ends[0] == ends[1] else "past" if ends[0] < ends[1] else "future"
    return Comparison(relation, end)
