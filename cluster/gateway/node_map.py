"""Which nodes hold a world, or a replayed tick of it, and where they can be reached."""

from typing import NamedTuple

from umwelt.sandbox.region import Rectangle, Torus, images


class NodeMap(NamedTuple):
    """The nodes of one epoch. All tuples have one entry for each node, in the same order."""

    epoch: int
    pass_key: bytes
    addresses: tuple[str, ...]
    """Where queries and tasks are sent to."""
    tile_addresses: tuple[str, ...]
    """Where tiles are published."""
    rectangles: tuple[tuple[int, int, int, int], ...] = ()
    """What each node owns (y, x, height, width); empty where there is one node, which owns all."""

    def owners(self, wanted: tuple[int, int, int, int] | None, torus: Torus) -> list[int]:
        """Returns the indices of the nodes that own a part of a rectangle; of all nodes for None."""
        if wanted is None or not self.rectangles:
            return list(range(len(self.addresses)))
        window = Rectangle(*wanted)
        overlaps = (next(images(window, Rectangle(*owned), torus), None) for owned in self.rectangles)
        return [index for index, overlap in enumerate(overlaps) if overlap is not None]
