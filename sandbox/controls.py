"""What people changed for the whole world: rates of reactions, and bodies that somebody holds.

Every part of the world has the same controls. They change only by journalled commands; snapshots keep them in their
manifest, and the world's digest counts them once.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Controls:
    """One small table, the same everywhere.

    `rates` gives reactions by name another rate (1/2^24 a tick), `held` gives bodies by id the drives (1/1024, in the
    order of the laws' drives) that a person has put in the place of their own.
    """

    rates: dict[str, int] = field(default_factory=dict)
    held: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def copy(self) -> "Controls":
        """The same table apart."""
        return Controls(dict(self.rates), dict(self.held))

    def digest(self) -> int:
        """64 bits to add to the sum of the parts' digests; 0 as long as nobody changed anything."""
        if not self.rates and not self.held:
            return 0
        text = json.dumps(self.written(), sort_keys=True).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")

    def written(self) -> dict[str, Any]:
        """As JSON knows it."""
        held = {str(key): list(drives) for key, drives in sorted(self.held.items())}
        return {"rates": dict(sorted(self.rates.items())), "held": held}

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> "Controls":
        """From what `written` gave; `ValueError`, `TypeError` or `KeyError` for what it never gives."""
        rates = {str(name): _whole(rate) for name, rate in written["rates"].items()}
        held = {int(key): tuple(_whole(drive) for drive in drives) for key, drives in written["held"].items()}
        return cls(rates, held)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value
