"""Digest and metrics of the full world, added up from the tick records of its nodes. No I/O.

A *tick record* is a node's report of the digest and metrics of its own cells and beings at a tick. The *digest* is a
64-bit sum over all cells and beings; the *metrics* are counts of births, deaths, beings and molecules. An *epoch*
begins whenever the torus is divided among the nodes again, from a snapshot that all nodes load.
"""

from collections.abc import Sequence

from umwelt.cluster.instructions import JournalTick
from umwelt.cluster.wire.protocol import TickRecord

DIGEST_MASK = (1 << 64) - 1
TOTALS_KEPT_TICKS = 4096


class WorldRecords:
    """Digest and metrics of the full world by tick. Owned by `CoordinatorMachine`.

    `births` and `deaths` are the numbers from the start of the run to the snapshot from which the present epoch
    started. The records of nodes count from that snapshot only, and these numbers are added. `begin_epoch` replaces
    them.
    """

    def __init__(self, births: int, deaths: int):
        self.latest: TickRecord | None = None
        """Record of the latest tick, with births and deaths counted from the start of the run."""
        self.incomplete: dict[int, dict[str, TickRecord]] = {}
        """Records of nodes, by tick and the node's key, of ticks for which records of members are missing."""
        self._base = births, deaths
        self._totals: dict[int, tuple[int, int]] = {}
        """Births and deaths from the start of the run, by tick, for the last `TOTALS_KEPT_TICKS` ticks."""

    def begin_epoch(self, totals: tuple[int, int]) -> None:
        """Starts a new epoch. `totals` are births and deaths from the start of the run to the epoch's snapshot."""
        self.incomplete.clear()
        self._base = totals

    def drop_incomplete(self) -> None:
        """Drops incomplete records, because the torus is divided again and the missing records will not arrive."""
        self.incomplete.clear()

    def totals(self, tick: int) -> tuple[int, int] | None:
        """Returns births and deaths from the start of the run to `tick`; None if its record is missing or too old."""
        return self._totals.get(tick)

    def add(self, key: str, record: TickRecord, member_count: int) -> list[JournalTick]:
        """Adds the record of the node `key`.

        Returns the instruction to journal the tick if records of all `member_count` members are present.
        """
        parts = self.incomplete.setdefault(record.tick, {})
        parts[key] = record
        if len(parts) < member_count:
            return []
        del self.incomplete[record.tick]
        whole = merge_records(list(parts.values()))
        births, deaths = self._base[0] + whole.births, self._base[1] + whole.deaths
        oldest = record.tick - TOTALS_KEPT_TICKS
        self._totals = {tick: totals for tick, totals in self._totals.items() if tick > oldest}
        self._totals[record.tick] = (births, deaths)
        if self.latest is None or record.tick >= self.latest.tick:
            self.latest = TickRecord(whole.tick, whole.digest, 0, births, deaths, whole.populations, whole.substances)
        return [JournalTick(record.tick, whole.digest, births, deaths, whole.populations, whole.substances)]


def merge_records(parts: Sequence[TickRecord]) -> TickRecord:
    """Returns the sum of the records of all nodes at one tick.

    The digest of the controls (the settings of the world that commands have changed) is equal on all nodes and is added
    once.
    """
    populations: dict[str, dict[str, int]] = {}
    substances: dict[str, int] = {}
    for part in parts:
        for table, counts in part.populations.items():
            whole = populations.setdefault(table, {})
            for name, count in counts.items():
                whole[name] = whole.get(name, 0) + count
        for name, count in part.substances.items():
            substances[name] = substances.get(name, 0) + count
    controls = {part.controls_digest for part in parts}
    digest = (sum(part.digest for part in parts) + sum(controls)) & DIGEST_MASK
    births, deaths = sum(part.births for part in parts), sum(part.deaths for part in parts)
    return TickRecord(parts[0].tick, digest, 0, births, deaths, populations, substances)
