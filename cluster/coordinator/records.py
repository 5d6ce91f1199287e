"""Records of the whole world, added up from those of its nodes. No I/O."""

from collections.abc import Sequence

from umwelt.cluster.instructions import JournalTick
from umwelt.cluster.wire.protocol import TickRecord

DIGEST_MASK = (1 << 64) - 1
TOTALS_KEPT_TICKS = 4096


class WorldRecords:
    """Digest and metrics of the whole world. Owned by `CoordinatorMachine`.

    Nodes count births and deaths from the beginning of an epoch; `begin_epoch` tells how many there were until then.
    """

    def __init__(self, births: int, deaths: int):
        self.latest: TickRecord | None = None
        """Of the latest tick, births and deaths counted from the beginning of the run."""
        self.incomplete: dict[int, dict[str, TickRecord]] = {}
        """Records of nodes by tick and key, until all members' are there."""
        self._base = births, deaths
        self._totals: dict[int, tuple[int, int]] = {}

    def begin_epoch(self, totals: tuple[int, int]) -> None:
        """A new epoch begins at a snapshot, until which there were so many births and deaths."""
        self.incomplete.clear()
        self._base = totals

    def drop_incomplete(self) -> None:
        """Drops the records of a map that is given up."""
        self.incomplete.clear()

    def totals(self, tick: int) -> tuple[int, int] | None:
        """Births and deaths until a tick; None if its record is not complete, or too old."""
        return self._totals.get(tick)

    def add(self, key: str, record: TickRecord, member_count: int) -> list[JournalTick]:
        """Adds the record of one node; returns the instruction to journal the tick once all members' are there."""
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
    """Adds up the records of all nodes at one tick. The controls are the same on all nodes, so they count once."""
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
