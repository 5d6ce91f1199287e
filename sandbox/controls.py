"""Settings of a running world that commands change: rates of reactions, and drives that replace those of bodies.

Every node has the same controls. They change only by journalled commands and by time; a snapshot keeps them in its
manifest, and the world's digest counts them once.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Override(NamedTuple):
    """Drives that replace a body's own."""

    drives: tuple[int | None, ...]
    """In 1/1024, in the order of the laws' drives; None leaves the body's own drive."""
    end_tick: int | None = None
    """The first tick at which it is not in force any more; None: until it is released."""


@dataclass
class Controls:
    """One small table, the same on every node.

    `rates` replaces the rates of reactions, by name (2^-24 a tick). `overrides` replaces drives of bodies, by id and
    then by the name of the command that set them: so a command releases only what it has set.
    """

    rates: dict[str, int] = field(default_factory=dict)
    overrides: dict[int, dict[str, Override]] = field(default_factory=dict)

    def set_rate(self, reaction: str, rate_q24: int | None) -> None:
        """Replace a reaction's rate; None restores its own."""
        if rate_q24 is None:
            self.rates.pop(reaction, None)
        else:
            self.rates[reaction] = rate_q24

    def set_override(self, being_id: int, command: str, override: Override | None) -> None:
        """Replace drives of a body on behalf of a command, instead of its earlier ones; None releases."""
        overrides = self.overrides.setdefault(being_id, {})
        if override is None:
            overrides.pop(command, None)
        else:
            overrides[command] = override
        if not overrides:
            del self.overrides[being_id]

    def expire(self, tick: int) -> None:
        """Release all overrides that are not in force at `tick` any more."""
        for being_id, overrides in list(self.overrides.items()):
            for command, override in list(overrides.items()):
                if override.end_tick is not None and override.end_tick <= tick:
                    self.set_override(being_id, command, None)

    def drives_of(self, being_id: int) -> tuple[int | None, ...] | None:
        """Return the drives that replace a body's own; None for its own ones, or if nothing of it is replaced.

        Where several overrides replace the same drive, the one that ends last wins, and any with an end wins over those
        without: a body that is held for some ticks stays held while a person drives it.
        """
        overrides = self.overrides.get(being_id)
        if not overrides:
            return None
        ends = {name: -1 if one.end_tick is None else one.end_tick for name, one in overrides.items()}
        first, *others = sorted(overrides, key=lambda command: (ends[command], command))
        drives = overrides[first].drives
        for command in others:
            pairs = zip(drives, overrides[command].drives, strict=True)
            drives = tuple(old if new is None else new for old, new in pairs)
        return drives

    def copy(self) -> "Controls":
        """Return an independent copy."""
        return Controls(dict(self.rates), {being_id: dict(found) for being_id, found in self.overrides.items()})

    def digest(self) -> int:
        """Return 64 bits to add to the sum of the nodes' digests; 0 as long as nothing is changed."""
        if not self.rates and not self.overrides:
            return 0
        text = json.dumps(self.to_json(), sort_keys=True).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")

    def to_json(self) -> dict[str, Any]:
        """Return the controls as JSON types, in an order that depends on their content alone."""
        overrides = {
            str(being_id): {
                command: {"drives": list(override.drives), "end_tick": override.end_tick}
                for command, override in sorted(found.items())
            }
            for being_id, found in sorted(self.overrides.items())
        }
        return {"rates": dict(sorted(self.rates.items())), "overrides": overrides}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Controls":
        """Return the controls that `to_json` wrote.

        Raises ValueError, TypeError, KeyError or AttributeError if the content is malformed.
        """
        rates = {str(name): _whole(rate) for name, rate in content["rates"].items()}
        overrides = {
            int(being_id): {str(command): _override(override) for command, override in found.items()}
            for being_id, found in content["overrides"].items()
        }
        return cls(rates, {being_id: found for being_id, found in overrides.items() if found})


def _override(content: Mapping[str, Any]) -> Override:
    drives = tuple(None if drive is None else _whole(drive) for drive in content["drives"])
    end_tick = content["end_tick"]
    return Override(drives, None if end_tick is None else _whole(end_tick))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value
