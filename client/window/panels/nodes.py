"""The nodes panel: the shard, the load and the connection of each node.

A node is a process that simulates a rectangle of the world, its shard. `session.status` has an entry for each node.
"""

from typing import Any

from imgui_bundle import ImVec2, imgui

from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.theme import ACCENT, BAD, DIM, GOOD, WARN, packed, vector
from umwelt.client.window.panels.widgets import dim, short
from umwelt.cluster import KEEPER

COLUMNS = (
    ("node", 1.5),
    ("shard: y, x, h, w", 1.75),
    ("beings", 0.9),
    ("ticks/s", 0.9),
    ("waiting", 0.9),
    ("latency", 1.0),
    ("memory", 1.0),
)
"""The titles of the table's columns, with their relative widths."""
MIB = 1 << 20
TABLE_FLAGS = imgui.TableFlags_.row_bg | imgui.TableFlags_.scroll_y | imgui.TableFlags_.borders_inner_v


class Nodes:
    """The content of the nodes panel."""

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        nodes = session.status.get("nodes") or []
        _, session.looks.nodes = imgui.checkbox("show borders", session.looks.nodes)
        exchange = session.status.get("ticks_per_exchange")
        imgui.same_line(0, 14)
        counts = f"{len(nodes)} node{'s' * (len(nodes) != 1)}"
        if exchange:
            counts += f", {exchange} tick{'s' * (exchange != 1)} per exchange"
        dim(counts)
        if session.known.coordinator and session.known.role == KEEPER:
            dim(f"to add a node: umwelt join {session.known.coordinator}")
        if not nodes:
            dim("this world has no nodes")
            return
        if not imgui.begin_table("nodes", len(COLUMNS), TABLE_FLAGS, ImVec2(0, 0)):
            return
        imgui.table_setup_scroll_freeze(0, 1)
        for name, weight in COLUMNS:
            imgui.table_setup_column(name, imgui.TableColumnFlags_.width_stretch, weight)
        imgui.table_headers_row()
        largest = {
            key: max(float(node.get(key) or 0) for node in nodes) or 1.0 for key in ("entities", "resident_bytes")
        }
        for node in nodes:
            self._row(session, node, largest)
        imgui.end_table()

    def _row(self, session: Any, node: dict[str, Any], largest: dict[str, float]) -> None:
        """Draws the row of a node, given its entry in the status; `largest` are maxima over all nodes, for bars."""
        imgui.table_next_row()
        imgui.table_next_column()
        ready = node.get("state") == "ready"
        imgui.text_colored(vector(GOOD if ready else WARN), node.get("name") or "?")
        if imgui.is_item_hovered():
            where = f"{node.get('host', '')} process {node.get('pid', '')}"
            imgui.set_tooltip(f"{where}: {node.get('state', '')}, tick {node.get('tick', 0):,}")
        imgui.table_next_column()
        rectangle = node.get("rectangle")
        if rectangle:
            words = ", ".join(str(number) for number in rectangle)
            if imgui.selectable(f"{words}##{node.get('name')}", False)[0]:
                session.following = False
                y, x, height, width = rectangle
                session.camera.look(y + height / 2, x + width / 2)
        else:
            dim("none yet")
        waits = float(node.get("waiting_share") or 0.0)
        entities, resident = float(node.get("entities") or 0), float(node.get("resident_bytes") or 0)
        imgui.table_next_column()
        _bar(entities / largest["entities"], short(entities), ACCENT)
        imgui.table_next_column()
        imgui.text(f"{float(node.get('ticks_per_s') or 0):.1f}")
        imgui.table_next_column()
        _bar(waits, f"{waits:.0%}", BAD if waits > 0.5 else WARN if waits > 0.25 else ACCENT)
        imgui.table_next_column()
        imgui.text(f"{float(node.get('round_trip_s') or 0) * 1000:.1f} ms")
        imgui.table_next_column()
        _bar(resident / largest["resident_bytes"], f"{resident / MIB:,.0f} MiB", DIM)


def _bar(share: float, text: str, colour: Any) -> None:
    """Draws a text over a bar whose length is `share` (0 to 1) of the available width."""
    corner, width = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    end = ImVec2(corner.x + max(2.0, width * min(1.0, max(0.0, share))), corner.y + 17)
    imgui.get_window_draw_list().add_rect_filled(corner, end, packed(colour, 0.28), 3.0)
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + 4)
    imgui.text(text)
