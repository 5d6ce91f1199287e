"""Weights that a world file names (`wires`) set the genes of these weights, and no others."""

from sharded_regions import golden_world

from umwelt.agents.body.genome import FIRST_WEIGHT
from umwelt.agents.earth.brain import wire
from umwelt.agents.earth.genesis import species_of

HIDDEN, BITE = {"hunger": 110, "memory_3": -7}, {"1": 90}


def genome_of_hunters(**more):
    return species_of(golden_world(**{f"founders.4.{key}": value for key, value in more.items()}).settings)[4]["genome"]


def test_wires_of_a_blank_are_its_whole_net():
    genome = genome_of_hunters(like="blank", wires={"1": HIDDEN, "bite": BITE})
    assert (genome[FIRST_WEIGHT:] == wire([{}, HIDDEN], {"bite": {1: 90}})[FIRST_WEIGHT:]).all()


def test_wires_change_the_weights_that_they_name_and_no_others():
    plain, changed = genome_of_hunters(), genome_of_hunters(wires={"musk_drive": {"2": -33}})
    assert (plain != changed).sum() == 1 and changed[plain != changed] == -33
