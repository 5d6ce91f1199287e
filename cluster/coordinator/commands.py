"""The commands on a world that are journalled but not over: each gets a tick and a number, each ticket once. No I/O."""

from umwelt.cluster.wire.protocol import ScheduledCommand, SubmitCommands, TicketResult
from umwelt.sandbox.errors import BusyError, CommandError

MAX_TICKETS = 10_000
MAX_PENDING_COMMANDS = 10_000
MAX_AHEAD_TICKS = 1_000_000
"""How far ahead of the present tick a command may be submitted."""


class PendingCommands:
    """Commands by tick, and tickets. Owned by `CoordinatorMachine`.

    `commands` are the commands from the last complete snapshot on, `tickets` the latest ones.
    """

    def __init__(
        self, commands: tuple[ScheduledCommand, ...], tickets: tuple[tuple[str, int, int], ...], next_number: int
    ):
        self.commands = list(commands)
        by_ticket = {ticket: (tick, number) for ticket, tick, number in tickets}
        self.tickets = dict(sorted(by_ticket.items(), key=lambda item: item[1][1])[-MAX_TICKETS:])
        """Tick and number of the first command of each ticket."""
        self._next_number = next_number

    def result(self, ticket: str) -> TicketResult | None:
        """The result of a ticket that was submitted before."""
        known = self.tickets.get(ticket)
        return TicketResult(ticket, *known) if known is not None else None

    def add(self, submit: SubmitCommands, first_tick: int) -> tuple[ScheduledCommand, ...]:
        """Gives the commands of a ticket a tick, not before `first_tick`, and their numbers.

        Raises CommandError if they are for a tick too far ahead, BusyError if there are too many.
        """
        tick = max(first_tick, submit.tick)
        if tick > first_tick + MAX_AHEAD_TICKS:
            raise CommandError(f"tick {tick} is too far ahead of tick {first_tick}: give an earlier one")
        if len(self.commands) + len(submit.commands) > MAX_PENDING_COMMANDS:
            raise BusyError("too many commands at once: try again later")
        first = self._next_number
        commands = tuple(
            ScheduledCommand(tick, number, content) for number, content in enumerate(submit.commands, first)
        )
        self._next_number += len(commands)
        self.commands += commands
        self.tickets[submit.ticket] = (tick, commands[0].number if commands else 0)
        if len(self.tickets) > MAX_TICKETS:
            del self.tickets[next(iter(self.tickets))]
        return commands

    def between(self, from_tick: int, through: int) -> list[ScheduledCommand]:
        """The commands from a tick until another one, that one excluded."""
        return [command for command in self.commands if from_tick <= command.tick < through]

    def drop_before(self, tick: int) -> None:
        """Drops commands that a complete snapshot contains."""
        self.commands = [command for command in self.commands if command.tick >= tick]
