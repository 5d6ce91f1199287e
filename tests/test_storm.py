"""Random faults in a simulated cluster: messages are lost, delayed, repeated and reordered; processes crash and freeze.

A `Storm` is one such run, with all faults drawn from one seed. The result must be that of a world without a cluster:
every digest, every atom, and every acknowledged command.
"""

import os
from random import Random

import pytest
from commands_script import commands_at
from sharded_regions import golden_world
from simulation import Simulation, run_undisturbed, whole

from umwelt.agents import commands
from umwelt.cluster.wire.loopback import Faults
from umwelt.sandbox import audit

LAST_TICK = 80
SEEDS = 200 if os.environ.get("UMWELT_LONG") else 30


def faults_from(chance: Random) -> Faults:
    """Returns random rates of faults of the network."""
    return Faults(
        loss=chance.choice((0.0, 0.02, 0.1)),
        duplicate=chance.choice((0.0, 0.1)),
        reorder=chance.choice((0.0, 0.1)),
        delay_s=(0.0, chance.choice((0.001, 0.01, 0.05))),
    )


class Storm:
    """A simulated cluster, its world, and its faults, all drawn from a seed.

    `misfortunes` are the faults so far: virtual time and name. `back_s` and `thaw_s` are the times at which the
    coordinator, the network, and frozen nodes recover.
    """

    def __init__(self, seed: int):
        self.chance = Random(seed)
        size = self.chance.choice(((64, 64), (48, 64), (64, 40)))
        self.world = golden_world(*size, seed=seed % 5)
        self.simulation = Simulation(
            self.world,
            self.chance.randint(1, 4),
            seed,
            faults_from(self.chance),
            LAST_TICK,
            self.chance.choice((0, 1, 2, 4)),
            compute_s=self.chance.choice((0.005, 0.02)),
        )
        self.asked = 0
        self.unanswered: dict[str, list] = {}
        self.back_s: dict[str, float] = {}
        self.thaw_s: dict[str, float] = {}
        self.misfortunes: list[str] = []

    def rage(self) -> None:
        """Run to the last tick, with up to 12 random faults and all commands of the script."""
        s = self.simulation
        said_s = 0.0
        while s.coordinator is None or s.coordinator.ended is None:
            s.pass_time()
            assert s.network.now < 600, (s.machine.phase, s.tick(), s.said[-6:], self.misfortunes[-6:])
            self.recover()
            if s.network.now - said_s > 0.05:
                said_s = s.network.now
                self.command()
                if self.chance.random() < 0.08 and len(self.misfortunes) < 12:
                    self.misfortune()

    def command(self) -> None:
        """Send the next commands of the script, and repeat those that are not answered."""
        s = self.simulation
        self.unanswered = {ticket: found for ticket, found in self.unanswered.items() if ticket not in s.answers}
        if self.asked < 14 and self.chance.random() < 0.5:
            found = commands_at(self.asked, self.world)
            self.asked += 1
            if found:
                self.unanswered[f"ticket-{self.asked}"] = found
        for ticket, found in self.unanswered.items():
            s.submit(ticket, found)

    def misfortune(self) -> None:
        """Cause one random fault, join or leave."""
        s = self.simulation
        living = [address for address in s.nodes if address not in s.frozen]
        what = self.chance.choice(("join", "leave", "kill", "kill", "freeze", "coordinator", "cut"))
        self.misfortunes.append(f"{s.network.now:.2f} {what}")
        if what == "join" and len(s.nodes) < 6:
            s.join()
        elif what == "leave" and living and s.coordinator is not None:
            self.simulation.nodes[self.chance.choice(living)].leave()
        elif what == "kill" and living:
            s.kill(self.chance.choice(living))
        elif what == "freeze" and living:
            address = self.chance.choice(living)
            s.freeze(address)
            self.thaw_s[address] = s.network.now + self.chance.choice((0.3, 3.0))
        elif what == "coordinator" and s.coordinator is not None:
            s.kill_coordinator()
            self.back_s["coordinator"] = s.network.now + self.chance.random() * 2
        elif what == "cut" and len(living) > 1:
            a, b = self.chance.sample([*living, "loop://coordinator"], 2)
            s.network.cut(a, b)
            self.back_s["network"] = s.network.now + self.chance.choice((0.2, 2.0))

    def recover(self) -> None:
        """End the faults whose time is over; start a node if none is left."""
        s = self.simulation
        now = s.network.now
        if now > self.back_s.get("coordinator", 1e9):
            del self.back_s["coordinator"]
            s.begin_coordinator()
        if now > self.back_s.get("network", 1e9):
            del self.back_s["network"]
            s.network.heal()
        for address in [a for a, due_s in self.thaw_s.items() if now > due_s]:
            del self.thaw_s[address]
            if address in s.frozen:
                s.thaw(address)
        if not s.nodes:
            s.join()


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.slow
def test_a_cluster_under_random_faults_computes_the_same_world(seed):
    storm = Storm(seed)
    storm.rage()
    disk = storm.simulation.disk
    journalled = [command for _, command in disk.commands]
    digests, end = run_undisturbed(storm.world, LAST_TICK, journalled)
    assert LAST_TICK in disk.digests
    assert {tick: found for tick, found in disk.digests.items() if digests[tick] != found} == {}

    # every acknowledged command is in the journal, once, at the tick of its answer
    tickets = {ticket: command for ticket, command in reversed(disk.commands)}
    for ticket, settled in storm.simulation.answers.items():
        if settled.tick >= 0 and ticket.startswith("ticket"):
            assert (tickets[ticket].tick, tickets[ticket].number) == (settled.tick, settled.number)
    numbers = [command.number for command in journalled]
    assert len(set(numbers)) == len(numbers)

    # the last snapshot has the right number of atoms of each element
    last = disk.snapshots[f"tick-{LAST_TICK:012d}"]
    saved = sum(piece.fields["substance"].sum(axis=(1, 2)) for piece in last["pieces"])
    bodies = [rows["counts"].sum(axis=0) for piece in last["pieces"] for rows in piece.tables.values()]
    assert world_atoms(storm.world, saved + sum(bodies)) == audit.element_totals(
        audit.substance_totals(end, storm.world.chemistry),
        storm.world.chemistry,
    )
    assert whole(end) == disk.digests[LAST_TICK]


def world_atoms(world, amounts) -> dict[str, int]:
    """Returns the number of atoms of each element in these amounts of substances."""
    chemistry = world.chemistry
    substances = dict(zip(chemistry.names, amounts.tolist(), strict=True))
    return audit.element_totals(substances, chemistry)


def test_random_faults_and_commands_do_occur():
    """The faults do happen, and commands are journalled in spite of them."""
    storm = Storm(3)
    storm.rage()
    assert storm.misfortunes and storm.simulation.disk.commands
    assert commands.encode(commands_at(0, storm.world)[0]) if commands_at(0, storm.world) else True
