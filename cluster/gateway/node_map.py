"""The nodes that compute the live world, or the process that shows a replayed tick, with their addresses."""

from typing import NamedTuple

from umwelt.sandbox.region import Rectangle, Torus, images


class NodeMap(NamedTuple):
    """The nodes among which the torus is divided. The tuples have one entry for each node, in the same order.

    `epoch` is the number of this division. `pass_key` is a random key that messages to these nodes must contain.
    """

    epoch: int
    pass_key: bytes
    addresses: tuple[str, ...]
    """Addresses for queries and tasks."""
    tile_addresses: tuple[str, ...]
    """Addresses at which the nodes publish tiles."""
    rectangles: tuple[tuple[int, int, int, int], ...] = ()
    """The rectangle that each node owns, its shard (y, x, height, width in cells).

    Empty if one node holds the full world.
    """

    def owners(self, wanted: tuple[int, int, int, int] | None, torus: Torus) -> list[int]:
        """Returns the indices of the nodes whose shards overlap the rectangle `wanted`, or of all nodes for None."""
        if wanted is None or not self.rectangles:
            return list(range(len(self.addresses)))
        window = Rectangle(*wanted)
        overlaps = (next(images(window, Rectangle(*owned), torus), None) for owned in self.rectangles)
        return [index for index, overlap in enumerate(overlaps) if overlap is not None]
