"""The gallery (`benchmarks/gallery.py`): its page and pictures are made from runs, one world at a time."""

import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.gallery import PLAN, View, make_gallery, read_sections
from umwelt.agents.world_file import bundled_worlds

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.slow
def test_a_world_is_run_and_drawn_and_other_sections_remain(tmp_path):
    docs, runs = tmp_path / "docs", tmp_path / "runs"
    docs.mkdir()
    (docs / "gallery.md").write_text("# Gallery\n\n## wolf_sheep\n\nAs it was.\n")
    plan = {"golden": View(8, 30), "wolf_sheep": View(2)}
    make_gallery(plan, ["golden"], runs, docs)
    sections = read_sections(docs / "gallery.md")
    assert list(sections) == ["golden", "wolf_sheep"] and sections["wolf_sheep"] == "## wolf_sheep\n\nAs it was.\n"
    assert re.search(r"seed \d+, tick 8: [\d,]+ grass, .*\d+ grazer", sections["golden"])
    for name in re.findall(r"\((gallery/.*?)\)", sections["golden"]):
        with Image.open(docs / name) as picture:
            assert picture.size == (900, 600)
            assert len(set(picture.convert("L").resize((30, 20)).tobytes())) > 20, "there is something to see"
    before = (runs / "golden" / "gallery.json").stat().st_mtime_ns
    make_gallery(plan, ["golden"], runs, docs)
    assert (runs / "golden" / "gallery.json").stat().st_mtime_ns == before, "an existing run is only drawn again"


def test_the_page_shows_every_bundled_world():
    assert set(PLAN) >= set(bundled_worlds()) - {"golden"}
    page = read_sections(DOCS / "gallery.md")
    assert list(page) == list(PLAN)
    for name, text in page.items():
        assert f", tick {PLAN[name].tick:,}:" in text
        assert all((DOCS / picture).is_file() for picture in re.findall(r"\((gallery/.*?)\)", text))
