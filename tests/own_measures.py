"""Measures as a user might write them, for the tests of experiments; all but `good` are invalid."""

NUMBER = 3


def failing(world, region):
    raise RuntimeError("broken\nin two")


def missing(world, region):
    return {}["none"]


def silent(world, region):
    return None


def wordy(world, region):
    return {"a": "word"}


def timely(world, region):
    return {"tick": 5}


def good(world, region):
    return {"doubled_tick": 2 * region.tick, "late": region.tick > 5}
