"""Snapshots of older schemas open, with defaults in added columns; all other differences are refused by name."""

import numpy as np
import pytest

from umwelt.sandbox import snapshot
from umwelt.sandbox.columns import Column, Schema
from umwelt.sandbox.errors import SnapshotError
from umwelt.sandbox.region import Field, Rectangle, Region, Torus

FIELDS = (Field("soil", "int32", ("clay", "sand")),)
ORGANS = Column("organs", "int8", ("jaw", "leg"))
GENOME = Column("genome", "int8", width=4)
SPEED = Column("speed", "int16")


def schema(*columns: Column) -> Schema:
    return Schema("beings", 1, columns)


@pytest.fixture
def stored(tmp_path):
    """Returns the path of a snapshot of three beings with organs, a genome and a speed."""
    region = Region(Torus(32, 32), Rectangle(0, 0, 32, 32), 0, FIELDS, [schema(ORGANS, GENOME, SPEED)], 1, 5)
    values = {
        "id": np.array([7, 8, 9]),
        "organs": np.array([[1, 2], [3, 4], [5, 6]]),
        "genome": np.arange(12).reshape(3, 4),
        "speed": np.array([10, 20, 30]),
    }
    region.tables["beings"].append(3, values)
    snapshot.save(tmp_path / "s", region, "")
    return tmp_path / "s"


def test_added_columns_and_entries_have_their_defaults(stored):
    now = schema(
        Column("wings", "int8", ("left", "right"), default=3),
        Column("organs", "int8", ("jaw", "leg", "wing", "fin"), default=1),
        Column("genome", "int8", width=6),
        SPEED,
        Column("mood", "int16", default=-5),
        Column("seen", "int16", derived=True),
    )
    kept = snapshot.load(stored, (FIELDS, [now]))
    region = Region(Torus(32, 32), Rectangle(0, 0, 32, 32), 0, FIELDS, [now], 1, 5)
    region.load(kept.pieces)
    beings = region.tables["beings"]
    assert beings["id"].tolist() == [7, 8, 9] and beings["speed"].tolist() == [10, 20, 30]
    assert beings["organs"].tolist() == [[1, 2, 1, 1], [3, 4, 1, 1], [5, 6, 1, 1]]
    assert beings["genome"].tolist() == [[0, 1, 2, 3, 0, 0], [4, 5, 6, 7, 0, 0], [8, 9, 10, 11, 0, 0]]
    assert beings["wings"].tolist() == [[3, 3]] * 3 and beings["mood"].tolist() == [-5] * 3


def test_a_snapshot_that_is_saved_again_has_the_new_schema(stored, tmp_path):
    layout = (FIELDS, [schema(ORGANS, Column("genome", "int8", width=6), SPEED)])
    region = Region(Torus(32, 32), Rectangle(0, 0, 32, 32), 0, *layout, 1, 5)
    region.load(snapshot.load(stored, layout).pieces)
    snapshot.save(tmp_path / "again", region, "")
    assert snapshot.load(tmp_path / "again").pieces[0].tables["beings"]["genome"].shape == (3, 6)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ((ORGANS, GENOME), "column 'speed' is unknown"),
        ((Column("organs", "int8", ("leg", "jaw")), GENOME, SPEED), "column 'organs' is different"),
        ((Column("organs", "int8", ("wing", "jaw", "leg")), GENOME, SPEED), "column 'organs' is different"),
        ((Column("organs", "int8", ("jaw",)), GENOME, SPEED), "column 'organs' is different"),
        ((ORGANS, Column("genome", "int8", width=3), SPEED), "column 'genome' is different"),
        ((ORGANS, Column("genome", "int16", width=4), SPEED), "column 'genome' is different"),
        ((ORGANS, Column("genome", "int8", ("a", "b", "c", "d")), SPEED), "column 'genome' is different"),
        ((ORGANS, GENOME, Column("speed", "int16", width=2)), "column 'speed' is different"),
    ],
)
def test_removed_or_changed_columns_are_refused_by_name(stored, columns, line):
    with pytest.raises(SnapshotError, match=line):
        snapshot.load(stored, (FIELDS, [schema(*columns)]))


@pytest.mark.parametrize("field", [Field("soil", "int32", ("clay", "sand", "loam")), Field("soil", "int16")])
def test_fields_must_be_the_same(stored, field):
    with pytest.raises(SnapshotError, match="field 'soil' is different"):
        snapshot.load(stored, ((field,), [schema(ORGANS, GENOME, SPEED)]))
    with pytest.raises(SnapshotError, match="field 'rock' is missing"):
        snapshot.load(stored, ((*FIELDS, Field("rock", "int16")), [schema(ORGANS, GENOME, SPEED)]))
