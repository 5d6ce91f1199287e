"""The command `drive`: replaces the drives of a being by those of a user, until the being is released."""

from collections.abc import Mapping

from umwelt.agents.body.interface import DRIVES
from umwelt.agents.commands.checks import check_driven, check_override
from umwelt.agents.commands.command import Being, Command, CommandKind, Request
from umwelt.agents.world_file import WorldFile, one_line, one_of
from umwelt.sandbox.controls import Override
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE


class Drive(Command, tag="drive", frozen=True):
    """The command that replaces the drives of a being by `drives` (in 1/1024, in the order of `DRIVES`).

    With `drives` None, the command releases the being: its behaviour determines its drives again. Drives that are set
    remain in the controls (the settings of the world that commands change) after the being's death, until they are
    released.
    """

    id: int
    drives: tuple[int, ...] | None = None

    def check(self, world: WorldFile) -> None:
        if self.drives is None:
            check_driven(world, "drive", self.id)
        else:
            check_override(world, "drive", self.id, Override(self.drives))

    def apply(self, region: Region, number: int) -> None:
        override = None if self.drives is None else Override(tuple(self.drives))
        region.controls.set_override(self.id, "drive", override)


class DriveRequest(Request, frozen=True):
    """A request to replace the drives of a being by `drives`, numbers from -1 to 1 by name.

    Drives that are not named become 0. With `drives` None, the being is released.
    """

    id: int
    drives: dict[str, float] | None = None

    def compose(self, world: WorldFile, being: Being | None) -> list[Command]:
        return [Drive(self.id, None if self.drives is None else drives_from_shares(self.drives))]


def drives_from_shares(shares: Mapping[str, float]) -> tuple[int, ...]:
    """Converts drives by name, from -1 to 1, to integers (1/1024) in the order of `DRIVES`; missing ones are 0.

    Raises CommandError for an unknown name or a value out of bounds.
    """
    try:
        for name, value in shares.items():
            one_of(one_line(name[:40]), DRIVES, "drive")
            if not -1 <= value <= 1:
                raise CommandError(f"drive: {name} = {value}: use -1 to 1")
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    return tuple(round(shares.get(name, 0.0) * ONE) for name in DRIVES)


DRIVE = CommandKind(Drive, DriveRequest)
