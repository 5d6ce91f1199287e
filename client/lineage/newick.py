"""Trees of descent over time in the Newick format, which most programs for phylogenies read.

A line of descent (of a being, or of a clade, a branch of the tree of life) extends from a first tick to a last tick.
Where another line splits off, the tree has a fork at the tick of that birth. So branch lengths are ticks, and all
living lines end at the same tick. The tree of the ancestors of the living beings is a reconstructed phylogeny: Nee, May
and Harvey, "The Reconstructed Evolutionary Process", Philosophical Transactions of the Royal Society B 344, 1994.

The format is that of Felsenstein, "The Newick Tree Format", 1990: branch lengths follow colons; names with characters
other than letters and digits are in single quotes, in which quotes are doubled. No library is used, because this code
is short, takes arrays rather than one object per node, and writes trees of any depth without recursion.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9.-]*")


@dataclass
class Tree:
    """A tree of nodes numbered from 0, the root last. All lists have one entry per node; names can be empty.

    `ticks` are the ends of the branches; `children` has the numbers of each node's children.
    """

    names: list[str] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    children: list[list[int]] = field(default_factory=list)

    def add(self, name: str, tick: int, children: Sequence[int] = ()) -> int:
        """Adds a node (a tip, if it has no children) and returns its number."""
        self.names.append(name)
        self.ticks.append(tick)
        self.children.append(list(children))
        return len(self.names) - 1


class Lines(NamedTuple):
    """Lines of descent that form a tree. All arrays have one entry per line."""

    rows: np.ndarray
    """Row of the being (or clade) whose line it is."""
    parents: np.ndarray
    """Index of the line from which the line split off, -1 for none: `int64`."""
    splits: np.ndarray
    """Tick at which the line split off."""


def find_lines(parents: np.ndarray, ticks: np.ndarray, tips: np.ndarray) -> Lines:
    """Returns the lines of the beings (or clades) `tips`, and of those of their ancestors at which the tree forks.

    A being is given by its row, its index in `parents` and `ticks`. `parents: int[n]` has the row of each being's
    parent (-1 for none), and `ticks: int[n]` the ticks of birth, which are later than the parents'.
    """
    is_ancestor = np.zeros(len(parents), bool)
    front = np.asarray(tips, np.int64)
    while len(front):
        is_ancestor[front] = True
        above = parents[front]
        front = np.unique(above[above >= 0])
        front = front[~is_ancestor[front]]
    inner = np.flatnonzero(is_ancestor & (parents >= 0))
    is_line = np.zeros(len(parents), bool)
    is_line[tips] = True
    is_line |= np.bincount(parents[inner], minlength=len(parents)) > 1
    # `top`: the row reached by going up through single children until the parent is a line
    top = np.arange(len(parents))
    passed = inner[~is_line[parents[inner]]]
    top[passed] = parents[passed]
    while (top[top[passed]] != top[passed]).any():
        top[passed] = top[top[passed]]
    rows = np.flatnonzero(is_line & is_ancestor)
    number = np.full(len(parents) + 1, -1, np.int64)
    number[rows] = np.arange(len(rows))
    return Lines(rows, number[parents[top[rows]]], ticks[top[rows]])


def make_time_tree(
    lines: Lines, names: Sequence[str], ends: Sequence[int | None], groups: Sequence[str], root: str
) -> Tree:
    """Returns the tree of `lines`, where branch lengths are ticks.

    At tick 0, the root forks into the groups (such as species), and each group into its lines without a parent.
    `names`, `ends` and `groups` (the name of its group) have one entry per line; `root` is the name of the root, which
    is left out if there is only one group. An end is the last tick of a line, or None for a line that is not a tip and
    is continued by its last child. A line that ends before its last child splits off becomes a tip at that end.
    """
    tree, splits = Tree(), lines.splits.tolist()
    first_nodes: dict[int, int] = {}
    """Number of the first node of each line, by line."""
    children: dict[int, list[int]] = {}
    for line, parent in enumerate(lines.parents.tolist()):
        children.setdefault(parent, []).append(line)
    for line in np.argsort(-np.asarray(lines.rows), kind="stable").tolist():  # children have higher rows than parents
        events = [(splits[child], 0, child) for child in children.get(line, ())]
        end = ends[line]
        if end is not None:
            events.append((end, 1, line))
        events.sort()
        tick, is_tip, last = events.pop()
        node = tree.add(names[line], tick) if is_tip else first_nodes[last]
        for tick, is_tip, child in reversed(events):
            branch = tree.add(names[line], tick) if is_tip else first_nodes[child]
            node = tree.add("", tick, (branch, node))
        first_nodes[line] = node
    by_group: dict[str, list[int]] = {}
    for line in children.get(-1, ()):
        by_group.setdefault(groups[line], []).append(first_nodes[line])
    branches = [nodes[0] if len(nodes) == 1 else tree.add(group, 0, nodes) for group, nodes in by_group.items()]
    if len(branches) != 1:
        tree.add(root, 0, branches)
    return tree


def format_newick(tree: Tree) -> str:
    """Returns `tree` in the Newick format, as one line of text."""
    parts: list[str] = []
    stack: list[str | tuple[int, int]] = [";", (len(tree.names) - 1, 0)]
    """Texts to write, and pairs of a node number and the tick of the node's parent."""
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        number, parent_tick = item
        tick, children = tree.ticks[number], tree.children[number]
        label = f"{quote_name(tree.names[number])}:{tick - parent_tick}"
        if not children:
            parts.append(label)
            continue
        stack.append(f"){label}")
        for position, child in enumerate(reversed(children)):
            stack += [","] * (position > 0)
            stack.append((child, tick))
        parts.append("(")
    return "".join(parts) + "\n"


def quote_name(name: str) -> str:
    """Returns `name`, in single quotes if the Newick format requires them."""
    if not name or _PLAIN.fullmatch(name):
        return name
    return "'" + name.replace("'", "''") + "'"
