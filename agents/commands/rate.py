"""The command `rate`: changes the rate of a reaction everywhere in the world."""

from umwelt.agents.commands.checks import MAX_RATE_Q24, check_rate
from umwelt.agents.commands.command import Being, Command, CommandKind, Request
from umwelt.agents.world_file import WorldFile, one_line
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import RATE_BITS, rate_from_float


class Rate(Command, tag="rate", frozen=True):
    """The command that sets the rate of a reaction, in 2^-24 per tick; None restores the rate in the world file."""

    reaction: str
    rate_q24: int | None = None

    def check(self, world: WorldFile) -> None:
        check_rate(world, self.reaction, self.rate_q24)

    def apply(self, region: Region, number: int) -> None:
        region.controls.set_rate(self.reaction, self.rate_q24)


class RateRequest(Request, frozen=True):
    """A request to set the rate of a reaction per tick; None restores the rate in the world file."""

    reaction: str
    rate: float | None = None

    def compose(self, world: WorldFile, being: Being | None) -> list[Command]:
        return [compose_rate(world, self.reaction, self.rate)]


def compose_rate(world: WorldFile, reaction: str, rate: float | None) -> Rate:
    """Returns the checked command that sets a reaction's rate per tick; None restores the rate in the world file.

    Raises CommandError for an unknown reaction, and for a rate that is out of bounds or too small to be represented.
    """
    maximum = MAX_RATE_Q24 >> RATE_BITS
    place = f"rate: {one_line(reaction)} = {rate}"
    if rate is not None and not 0 <= rate <= maximum:
        raise CommandError(f"{place}: use 0 to {maximum} a tick")
    command = Rate(reaction, None if rate is None else rate_from_float(rate))
    if rate and not command.rate_q24:
        raise CommandError(f"{place}: is below 2^-{RATE_BITS} a tick: use 0 or a larger rate")
    try:
        command.check(world)
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    return command


RATE = CommandKind(Rate, RateRequest)
