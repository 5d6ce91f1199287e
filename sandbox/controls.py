"""Settings of a running world that commands change: rates of reactions, and overrides of the drives of beings.

Every node (process that computes a part of the world) has the same controls. They change only by commands, which a
journal records, and when overrides expire. A snapshot stores them in its manifest, and the world's digest includes them
once.

A drive is a number that says how strongly a being does something, such as turn or bite; its behaviour computes it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Override(NamedTuple):
    """Drives of a being that replace those that its behaviour computes."""

    drives: tuple[int | None, ...]
    """The drives in 1/1024, in the order of the laws' drives; None does not replace a drive."""
    end_tick: int | None = None
    """The first tick at which the override no longer applies; None if it applies until a command removes it."""


@dataclass
class Controls:
    """The settings of a world that commands have changed, equal on every node.

    `rates` are the changed rates of reactions by name of the reaction, in 2^-24 per tick. `overrides` maps the id of a
    being and the name of the command that has set an override to the override; a command removes only its own.
    """

    rates: dict[str, int] = field(default_factory=dict)
    overrides: dict[int, dict[str, Override]] = field(default_factory=dict)

    def set_rate(self, reaction: str, rate_q24: int | None) -> None:
        """Replaces the rate of a reaction (2^-24 per tick); None restores the rate in the world file."""
        if rate_q24 is None:
            self.rates.pop(reaction, None)
        else:
            self.rates[reaction] = rate_q24

    def set_override(self, being_id: int, command: str, override: Override | None) -> None:
        """Sets the override of a being's drives by `command`; None removes it.

        It replaces an earlier override of the being by the same command.
        """
        overrides = self.overrides.setdefault(being_id, {})
        if override is None:
            overrides.pop(command, None)
        else:
            overrides[command] = override
        if not overrides:
            del self.overrides[being_id]

    def expire(self, tick: int) -> None:
        """Removes all overrides that no longer apply at `tick`."""
        for being_id, overrides in list(self.overrides.items()):
            for command, override in list(overrides.items()):
                if override.end_tick is not None and override.end_tick <= tick:
                    self.set_override(being_id, command, None)

    def drives_of(self, being_id: int) -> tuple[int | None, ...] | None:
        """Returns the drives that replace those of a being, each a number or None; None if there is no override.

        If several overrides replace the same drive, the one with the latest `end_tick` applies; overrides without an
        `end_tick` have the lowest precedence. A command that sets drives for some ticks thus takes precedence over the
        command `drive`, whose overrides have no end.
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
        """Returns an independent copy."""
        return Controls(dict(self.rates), {being_id: dict(found) for being_id, found in self.overrides.items()})

    def digest(self) -> int:
        """Returns the 64-bit digest of the controls, which is part of the world's digest; 0 if nothing is changed."""
        if not self.rates and not self.overrides:
            return 0
        text = json.dumps(self.to_json(), sort_keys=True).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")

    def to_json(self) -> dict[str, Any]:
        """Returns the controls as JSON types, with sorted keys, so that equal controls give equal text."""
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
        """Creates controls from `content`, a result of `to_json`.

        Raises ValueError, TypeError, KeyError or AttributeError if the content is malformed.
        """
        rates = {str(name): _whole(rate) for name, rate in content["rates"].items()}
        overrides = {
            int(being_id): {str(command): _override(override) for command, override in found.items()}
            for being_id, found in content["overrides"].items()
        }
        return cls(rates, {being_id: found for being_id, found in overrides.items() if found})


def _override(content: Mapping[str, Any]) -> Override:
    """Creates an override from its JSON types. Raises TypeError or KeyError if `content` is malformed."""
    drives = tuple(None if drive is None else _whole(drive) for drive in content["drives"])
    end_tick = content["end_tick"]
    return Override(drives, None if end_tick is None else _whole(end_tick))


def _whole(value: Any) -> int:
    """Returns `value`. Raises TypeError if it is not an `int` (a bool is not)."""
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value
