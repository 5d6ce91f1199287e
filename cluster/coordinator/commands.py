"""Schedules submitted commands, and keeps the commands that nodes may still need. No I/O.

Every command gets the tick at which it takes effect, and a *journal number*: commands are numbered in the order in
which they are written to the run's journal. A *ticket* identifies the commands of one submission. Each ticket is
accepted once, however often it is received.
"""

from umwelt.cluster.wire.protocol import ScheduledCommand, SubmitCommands, TicketResult
from umwelt.sandbox.errors import BusyError, CommandError

MAX_TICKETS = 10_000
MAX_PENDING_COMMANDS = 10_000
MAX_AHEAD_TICKS = 1_000_000
"""Maximum number of ticks in the future for which a command can be submitted."""


class PendingCommands:
    """Journalled commands whose effects no complete snapshot contains, and recent tickets. Owned by
    `CoordinatorMachine`.

    The constructor takes the journal's commands since the newest complete snapshot, its tickets as (ticket, tick,
    number of the first command), and the journal number of the next command.
    """

    def __init__(
        self, commands: tuple[ScheduledCommand, ...], tickets: tuple[tuple[str, int, int], ...], next_number: int
    ):
        self.commands = list(commands)
        by_ticket = {ticket: (tick, number) for ticket, tick, number in tickets}
        self.tickets = dict(sorted(by_ticket.items(), key=lambda item: item[1][1])[-MAX_TICKETS:])
        """Tick and number of the first command of each recent ticket, the oldest ticket first."""
        self._next_number = next_number

    def result(self, ticket: str) -> TicketResult | None:
        """Returns tick and first journal number of a ticket that was accepted before; None if the ticket is new."""
        known = self.tickets.get(ticket)
        return TicketResult(ticket, *known) if known is not None else None

    def add(self, submit: SubmitCommands, first_tick: int) -> tuple[ScheduledCommand, ...]:
        """Adds the commands of a new ticket; returns them with their tick and journal numbers.

        The tick is the submitted one, but at least `first_tick`. Raises CommandError if it is more than
        `MAX_AHEAD_TICKS` after `first_tick`, BusyError if too many commands are pending.
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
        """Returns the commands with `from_tick` <= tick < `through`."""
        return [command for command in self.commands if from_tick <= command.tick < through]

    def drop_before(self, tick: int) -> None:
        """Drops commands of ticks before `tick`, whose effects a complete snapshot of `tick` contains."""
        self.commands = [command for command in self.commands if command.tick >= tick]
