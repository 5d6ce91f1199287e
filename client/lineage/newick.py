"""Trees of descent over time, as text that other programs read: Newick.

A line (a being, or a clade) begins at a tick and ends at one. Where another splits off from it there is a fork, at the
tick of that birth; so branches are as long as ticks went by, and all that live end at the same tick. Such a tree, of
the ancestors of the living alone, is a reconstructed one: Nee, May and Harvey, "The Reconstructed Evolutionary
Process", Philosophical Transactions of the Royal Society B 344, 1994.

The format: Felsenstein, "The Newick Tree Format", 1990 (agreed on in 1986): branch lengths behind colons, names with
other signs than letters and digits in single quotes, a quote within them doubled.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9.-]*")


@dataclass
class Tree:
    """Forks and tips by number, the root last; names may be empty. `below`: the numbers of each one's children."""

    names: list[str] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)

    def add(self, name: str, tick: int, below: Sequence[int] = ()) -> int:
        """A fork or tip more; gives its number."""
        self.names.append(name)
        self.ticks.append(tick)
        self.below.append(list(below))
        return len(self.names) - 1


class Lines(NamedTuple):
    """Lines of descent that make a tree; all arrays have an entry a line."""

    rows: np.ndarray
    """Which rows of the whole they are."""
    parents: np.ndarray
    """The line it came from, -1 for none: `int64`, numbers of lines."""
    splits: np.ndarray
    """The tick at which it split off from that line."""


def ancestry(parents: np.ndarray, ticks: np.ndarray, tips: np.ndarray) -> Lines:
    """The lines of some rows and of their ancestors, as far as they fork.

    `parents: int[n]` (rows, -1 for none), `ticks: int[n]` of births (a child's after its parent's), `tips`: rows.
    """
    marked = np.zeros(len(parents), bool)
    front = np.asarray(tips, np.int64)
    while len(front):
        marked[front] = True
        above = parents[front]
        front = np.unique(above[above >= 0])
        front = front[~marked[front]]
    inner = np.flatnonzero(marked & (parents >= 0))
    stays = np.zeros(len(parents), bool)
    stays[tips] = True
    stays |= np.bincount(parents[inner], minlength=len(parents)) > 1
    # up a chain of single children to the row whose parent is a line of its own
    top = np.arange(len(parents))
    passed = inner[~stays[parents[inner]]]
    top[passed] = parents[passed]
    while (top[top[passed]] != top[passed]).any():
        top[passed] = top[top[passed]]
    rows = np.flatnonzero(stays & marked)
    number = np.full(len(parents) + 1, -1, np.int64)
    number[rows] = np.arange(len(rows))
    return Lines(rows, number[parents[top[rows]]], ticks[top[rows]])


def time_tree(lines: Lines, names: Sequence[str], ends: Sequence[int | None], groups: Sequence[str], root: str) -> Tree:
    """The tree of lines; at tick 0 all groups branch from the root, and from each group its lines without parents.

    `names`, `ends` and `groups` have an entry a line. `ends`: a tick, or None where the line is no tip and its last
    child goes on. A line that ended before its last child's split is a tip without length on its own way.
    """
    tree, hosts, splits = Tree(), lines.parents.tolist(), lines.splits.tolist()
    tops: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for line, host in enumerate(hosts):
        children.setdefault(host, []).append(line)
    for line in np.argsort(-np.asarray(lines.rows), kind="stable").tolist():  # children lie behind their parents
        events = [(splits[child], 0, child) for child in children.get(line, ())]
        end = ends[line]
        if end is not None:
            events.append((end, 1, line))
        events.sort()
        tick, is_tip, last = events.pop()
        top = tree.add(names[line], tick) if is_tip else tops[last]
        for tick, is_tip, one in reversed(events):
            top = tree.add("", tick, (tree.add(names[line], tick) if is_tip else tops[one], top))
        tops[line] = top
    by_group: dict[str, list[int]] = {}
    for line in children.get(-1, ()):
        by_group.setdefault(groups[line], []).append(tops[line])
    branches = [below[0] if len(below) == 1 else tree.add(group, 0, below) for group, below in by_group.items()]
    if len(branches) != 1:
        tree.add(root, 0, branches)
    return tree


def newick(tree: Tree) -> str:
    """The tree as one line of text."""
    parts: list[str] = []
    waiting: list[str | tuple[int, int]] = [";", (len(tree.names) - 1, 0)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            parts.append(one)
            continue
        number, above_tick = one
        tick, below = tree.ticks[number], tree.below[number]
        label = f"{quoted(tree.names[number])}:{tick - above_tick}"
        if not below:
            parts.append(label)
            continue
        waiting.append(f"){label}")
        for at, child in enumerate(reversed(below)):
            waiting += [","] * (at > 0)
            waiting.append((child, tick))
        parts.append("(")
    return "".join(parts) + "\n"


def quoted(name: str) -> str:
    """A name as Newick writes it."""
    if not name or _PLAIN.fullmatch(name):
        return name
    return "'" + name.replace("'", "''") + "'"
