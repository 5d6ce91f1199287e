"""Dear ImGui on arcade.gl: receives the window's events and draws into the bound framebuffer.

Since version 1.92 imgui creates and extends its textures when glyphs are first used, so its requests to change textures
are handled in every frame. Imgui describes what to draw in draw lists: triangles, as vertices and as indices of these.
Both are copied from imgui's memory into two GPU buffers that are rewritten in every frame.
"""

import ctypes
from pathlib import Path
from typing import Any

import imgui_bundle
import numpy as np
from arcade.gl import BufferDescription, Context
from imgui_bundle import imgui, implot
from pyglet import gl
from pyglet.window import key, mouse

from umwelt.client.window.panels.theme import apply_style

FONTS = Path(imgui_bundle.__file__).parent / "assets" / "fonts"
TEXT_FONT, ICON_FONT = FONTS / "Roboto" / "Roboto-Regular.ttf", FONTS / "Font_Awesome_6_Free-Solid-900.otf"
TEXT_PX, ICON_PX = 15.5, 13.0
MIN_BYTES = 1 << 16
NO_MOUSE = -float(np.finfo(np.float32).max)
"""The coordinate that tells imgui that there is no mouse."""

VERTEX = """#version 330
uniform vec2 size;
in vec2 in_place;
in vec2 in_uv;
in vec4 in_colour;
out vec2 uv;
out vec4 colour;
void main() {
    uv = in_uv;
    colour = in_colour;
    gl_Position = vec4(2.0 * in_place.x / size.x - 1.0, 1.0 - 2.0 * in_place.y / size.y, 0.0, 1.0);
}
"""
FRAGMENT = """#version 330
uniform sampler2D atlas;
in vec2 uv;
in vec4 colour;
out vec4 drawn;
void main() {
    drawn = colour * texture(atlas, uv);
}
"""

_NAMED = {
    "TAB": "tab",
    "BACKSPACE": "backspace",
    "RETURN": "enter",
    "ENTER": "enter",
    "ESCAPE": "escape",
    "INSERT": "insert",
    "DELETE": "delete",
    "SPACE": "space",
    "LEFT": "left_arrow",
    "RIGHT": "right_arrow",
    "UP": "up_arrow",
    "DOWN": "down_arrow",
    "PAGEUP": "page_up",
    "PAGEDOWN": "page_down",
    "HOME": "home",
    "END": "end",
    "NUM_ENTER": "keypad_enter",
    "NUM_DECIMAL": "keypad_decimal",
    "NUM_DIVIDE": "keypad_divide",
    "NUM_MULTIPLY": "keypad_multiply",
    "NUM_SUBTRACT": "keypad_subtract",
    "NUM_ADD": "keypad_add",
    "LCTRL": "left_ctrl",
    "RCTRL": "right_ctrl",
    "LSHIFT": "left_shift",
    "RSHIFT": "right_shift",
    "LALT": "left_alt",
    "RALT": "right_alt",
    "LCOMMAND": "left_super",
    "RCOMMAND": "right_super",
    "MINUS": "minus",
    "EQUAL": "equal",
    "COMMA": "comma",
    "PERIOD": "period",
    "SLASH": "slash",
}
"""Imgui's names of keys, by pyglet's names."""
KEYS = {
    **{getattr(key, name): getattr(imgui.Key, imgui_name) for name, imgui_name in _NAMED.items()},
    **{getattr(key, letter): getattr(imgui.Key, letter.lower()) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    **{getattr(key, f"_{digit}"): getattr(imgui.Key, f"_{digit}") for digit in range(10)},
    **{getattr(key, f"NUM_{digit}"): getattr(imgui.Key, f"keypad{digit}") for digit in range(10)},
    **{getattr(key, f"F{number}"): getattr(imgui.Key, f"f{number}") for number in range(1, 13)},
}
"""Imgui's codes of keys, by pyglet's codes."""
BUTTONS = {mouse.LEFT: 0, mouse.RIGHT: 1, mouse.MIDDLE: 2}
CURSORS: dict[int, str] = {
    imgui.MouseCursor_.text_input: "CURSOR_TEXT",
    imgui.MouseCursor_.resize_all: "CURSOR_SIZE",
    imgui.MouseCursor_.resize_ns: "CURSOR_SIZE_UP_DOWN",
    imgui.MouseCursor_.resize_ew: "CURSOR_SIZE_LEFT_RIGHT",
    imgui.MouseCursor_.resize_nesw: "CURSOR_SIZE_DOWN_LEFT",
    imgui.MouseCursor_.resize_nwse: "CURSOR_SIZE_DOWN_RIGHT",
    imgui.MouseCursor_.hand: "CURSOR_HAND",
}
"""The attributes of a pyglet window that name its mouse cursors, by imgui's codes of cursors."""


class Gui:
    """The panels' connection to one window. Draw panels between `begin` and `end`; call `close` when it closes.

    `owner` is an `arcade.Window`, or an `arcade.gl.Context` without a window; then call `resize` after a change of
    size, and there is no system clipboard and no mouse cursor. `size` and `pixel_ratio` are as in `resize`.
    """

    def __init__(self, owner: Any, size: tuple[int, int] | None = None, pixel_ratio: float | None = None):
        self._window = None if isinstance(owner, Context) else owner
        self.ctx: Context = owner if self._window is None else owner.ctx
        self._context, self._plots = imgui.create_context(), implot.create_context()
        self._use()
        io = imgui.get_io()
        io.set_ini_filename("")
        io.set_log_filename("")
        io.backend_flags |= imgui.BackendFlags_.renderer_has_textures
        io.backend_flags |= imgui.BackendFlags_.renderer_has_vtx_offset | imgui.BackendFlags_.has_mouse_cursors
        io.config_flags |= imgui.ConfigFlags_.docking_enable
        io.config_windows_move_from_title_bar_only = True
        self.io = io
        max_side = self.ctx.info.MAX_TEXTURE_SIZE
        imgui.get_platform_io().renderer_texture_max_width = max_side
        imgui.get_platform_io().renderer_texture_max_height = max_side
        _load_fonts(io)
        apply_style()
        self._clipboard()
        self._textures: dict[int, Any] = {}
        self._program = self.ctx.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        self._program["atlas"] = 0
        self._vertices: Any = None
        self._indices: Any = None
        self._geometry: Any = None
        self._down: set[int] = set()
        self._cursor = 0
        width, height = size or (self._window.get_size() if self._window is not None else (1280, 800))
        self.resize(width, height, pixel_ratio)

    def _use(self) -> None:
        """Makes the contexts of this instance the current ones of imgui and implot."""
        imgui.set_current_context(self._context)
        implot.set_current_context(self._plots)
        implot.set_imgui_context(self._context)

    def _clipboard(self) -> None:
        """Lets imgui use the window's clipboard."""
        window, platform = self._window, imgui.get_platform_io()
        if window is None or window.headless:
            return  # imgui then uses its internal clipboard
        platform.platform_get_clipboard_text_fn = lambda _: window.get_clipboard_text()
        platform.platform_set_clipboard_text_fn = lambda _, text: window.set_clipboard_text(text)

    # --- a frame

    def begin(self, seconds: float) -> None:
        """Starts a frame; `seconds` is the time since the previous frame."""
        self._use()
        self.io.delta_time = min(max(seconds, 1e-4), 0.25)
        imgui.new_frame()

    def end(self) -> None:
        """Ends the frame and draws it into the bound framebuffer."""
        self._use()
        imgui.render()
        data = imgui.get_draw_data()
        for texture in imgui.get_platform_io().textures:
            if texture.status != imgui.ImTextureStatus.ok:
                self._update_texture(texture)
        if data.total_idx_count:
            self._draw(data)
        self._show_cursor()

    def _draw(self, data: Any) -> None:
        """Draws the draw lists in `data` into the bound framebuffer, and restores blending and scissor."""
        lists = list(data.cmd_lists)
        self._fill(lists, data.total_vtx_count, data.total_idx_count)
        ctx, target = self.ctx, self.ctx.active_framebuffer
        blends, blend_func, scissor = ctx.is_enabled(ctx.BLEND), ctx.blend_func, target.scissor
        ctx.enable(ctx.BLEND)
        ctx.disable(ctx.DEPTH_TEST, ctx.CULL_FACE)
        ctx.blend_func = ctx.SRC_ALPHA, ctx.ONE_MINUS_SRC_ALPHA, ctx.ONE, ctx.ONE_MINUS_SRC_ALPHA
        self._program["size"] = self.io.display_size.x, self.io.display_size.y
        self._program.use()
        array = self._geometry.instance(self._program)
        ratio, height = self.pixel_ratio, self.io.display_size.y
        bound, first_index = -1, 0
        for commands in lists:
            for command in commands.cmd_buffer:
                clip = command.clip_rect
                left, top, right, bottom = clip.x * ratio, clip.y * ratio, clip.z * ratio, clip.w * ratio
                if right <= left or bottom <= top or not command.elem_count:
                    continue
                if (texture := command.get_tex_id()) != bound:
                    bound = texture
                    self._textures[texture].use(0)
                gl.glScissor(round(left), round(height * ratio - bottom), round(right - left), round(bottom - top))
                array.render(gl.GL_TRIANGLES, first_index + command.idx_offset, command.elem_count)
            first_index += commands.idx_buffer.size()
        # the loop set OpenGL's scissor without arcade: restore arcade's value
        target.scissor = scissor
        ctx.blend_func = blend_func
        if not blends:
            ctx.disable(ctx.BLEND)

    def _fill(self, lists: list[Any], vertex_count: int, index_count: int) -> None:
        """Writes the vertices and indices of all draw lists into the buffers, one list after another.

        The written indices count from the first vertex of the first list.
        """
        vertices = np.empty(vertex_count * imgui.VERTEX_SIZE, np.uint8)
        indices = np.empty(index_count, np.uint32)
        vertex_at = index_at = 0
        for commands in lists:
            list_vertices, list_indices = commands.vtx_buffer.size(), commands.idx_buffer.size()
            if not list_indices:
                vertex_at += list_vertices
                continue
            from_byte = vertex_at * imgui.VERTEX_SIZE
            vertex_bytes = list_vertices * imgui.VERTEX_SIZE
            vertices[from_byte : from_byte + vertex_bytes] = _bytes_at(commands.vtx_buffer.data_address(), vertex_bytes)
            raw = _bytes_at(commands.idx_buffer.data_address(), list_indices * imgui.INDEX_SIZE)
            own_indices = raw.view(np.uint32 if imgui.INDEX_SIZE == 4 else np.uint16)
            np.add(own_indices, vertex_at, out=indices[index_at : index_at + list_indices], casting="unsafe")
            for command in commands.cmd_buffer:
                if command.vtx_offset:
                    first = index_at + command.idx_offset
                    indices[first : first + command.elem_count] += np.uint32(command.vtx_offset)
            vertex_at, index_at = vertex_at + list_vertices, index_at + list_indices
        if self._geometry is None or self._vertices.size < vertices.nbytes or self._indices.size < indices.nbytes:
            self._allocate(vertices.nbytes, indices.nbytes)
        else:
            self._vertices.orphan()
            self._indices.orphan()
        self._vertices.write(vertices)
        self._indices.write(indices)

    def _allocate(self, vertex_bytes: int, index_bytes: int) -> None:
        """Creates buffers of at least these sizes, and the geometry that reads them."""
        size_bytes = -(-max(MIN_BYTES, 2 * vertex_bytes) // imgui.VERTEX_SIZE) * imgui.VERTEX_SIZE
        self._vertices = self.ctx.buffer(reserve=size_bytes, usage="stream")
        self._indices = self.ctx.buffer(reserve=max(MIN_BYTES, 2 * index_bytes), usage="stream")
        content = [BufferDescription(self._vertices, "2f 2f 4f1", ["in_place", "in_uv", "in_colour"], ["in_colour"])]
        self._geometry = self.ctx.geometry(content, index_buffer=self._indices, index_element_size=4)

    def _update_texture(self, texture: Any) -> None:
        """Creates, updates or deletes the OpenGL texture for an imgui texture, as the latter's status requests."""
        status, statuses = texture.status, imgui.ImTextureStatus
        if status == statuses.want_create:
            gl_texture: Any = self.ctx.texture((texture.width, texture.height), components=4)
            gl_texture.filter = self.ctx.LINEAR, self.ctx.LINEAR
            gl_texture.wrap_x = gl_texture.wrap_y = self.ctx.CLAMP_TO_EDGE
            gl_texture.write(np.ascontiguousarray(texture.get_pixels_array()))
            self._textures[gl_texture.glo.value] = gl_texture
            texture.set_tex_id(gl_texture.glo.value)
            texture.set_status(statuses.ok)
        elif status == statuses.want_updates:
            pixels = texture.get_pixels_array().reshape(texture.height, texture.width, 4)
            gl_texture, part = self._textures[texture.tex_id], texture.update_rect
            changed = np.ascontiguousarray(pixels[part.y : part.y + part.h, part.x : part.x + part.w])
            gl_texture.write(changed.reshape(-1), viewport=(part.x, part.y, part.w, part.h))
            texture.set_status(statuses.ok)
        elif status == statuses.want_destroy and texture.unused_frames > 0:
            gl_texture = self._textures.pop(texture.tex_id, None)
            if gl_texture is not None:
                gl_texture.delete()
            texture.set_tex_id(0)
            texture.set_status(statuses.destroyed)

    def _show_cursor(self) -> None:
        """Sets the mouse cursor that imgui requests."""
        wanted = imgui.get_mouse_cursor()
        if wanted == self._cursor or self._window is None:
            return
        self._cursor = wanted
        name = CURSORS.get(wanted, "CURSOR_DEFAULT")
        self._window.set_mouse_cursor(self._window.get_system_mouse_cursor(getattr(self._window, name)))

    # --- events, as pyglet reports them: logical pixels, y upward

    @property
    def wants_mouse(self) -> bool:
        """Whether the mouse is over a panel or is dragging a panel."""
        return self.io.want_capture_mouse

    @property
    def wants_keyboard(self) -> bool:
        """Whether a text field of a panel has keyboard focus."""
        return self.io.want_text_input

    def on_mouse_motion(self, x: float, y: float, *_: Any) -> None:
        """Handles mouse movement, with or without a button pressed; `x` and `y` are logical pixels, y upward."""
        self.io.add_mouse_pos_event(x, self.io.display_size.y - y)

    def on_mouse_press(self, x: float, y: float, button: int, modifiers: int = 0) -> None:
        """Handles a press of a mouse button."""
        self.on_mouse_motion(x, y)
        if button in BUTTONS:
            self.io.add_mouse_button_event(BUTTONS[button], True)

    def on_mouse_release(self, x: float, y: float, button: int, modifiers: int = 0) -> None:
        """Handles the release of a mouse button."""
        self.on_mouse_motion(x, y)
        if button in BUTTONS:
            self.io.add_mouse_button_event(BUTTONS[button], False)

    def on_mouse_scroll(self, x: float, y: float, right: float, up: float) -> None:
        """Handles mouse-wheel scrolling by `right` and `up` notches."""
        self.on_mouse_motion(x, y)
        self.io.add_mouse_wheel_event(-right, up)

    def on_mouse_leave(self, *_: Any) -> None:
        """Handles the mouse leaving the window."""
        self.io.add_mouse_pos_event(NO_MOUSE, NO_MOUSE)

    def on_key_press(self, symbol: int, modifiers: int = 0) -> None:
        """Handles a key press; `symbol` is pyglet's key code."""
        self._key(symbol, modifiers, True)

    def on_key_release(self, symbol: int, modifiers: int = 0) -> None:
        """Handles the release of a key; `symbol` is pyglet's key code."""
        self._key(symbol, modifiers, False)

    def _key(self, symbol: int, modifiers: int, down: bool) -> None:
        """Passes a press (`down`) or release of a key to imgui, with the present state of the modifier keys."""
        (self._down.add if down else self._down.discard)(symbol)
        for imgui_key, modifier, symbols in (
            (imgui.Key.mod_ctrl, key.MOD_CTRL, (key.LCTRL, key.RCTRL)),
            (imgui.Key.mod_shift, key.MOD_SHIFT, (key.LSHIFT, key.RSHIFT)),
            (imgui.Key.mod_alt, key.MOD_ALT, (key.LALT, key.RALT)),
            (imgui.Key.mod_super, key.MOD_COMMAND, (key.LCOMMAND, key.RCOMMAND)),
        ):
            held = bool(modifiers & modifier) if symbol not in symbols else down
            self.io.add_key_event(imgui_key, held or any(other in self._down for other in symbols))
        if symbol in KEYS:
            self.io.add_key_event(KEYS[symbol], down)

    def on_text(self, text: str) -> None:
        """Handles typed text: passes it to the focused text field."""
        self.io.add_input_characters_utf8(text)

    def on_focus(self, focused: bool) -> None:
        """Handles a gain (`focused`) or loss of keyboard focus: treats all held keys as released."""
        self._down.clear()
        self.io.add_focus_event(focused)

    def resize(self, width: int, height: int, pixel_ratio: float | None = None) -> None:
        """Sets the window's size in logical pixels, each `pixel_ratio` framebuffer pixels wide.

        By default, `pixel_ratio` is that of the window, or 1 without a window.
        """
        if pixel_ratio is None:
            pixel_ratio = self._window.get_pixel_ratio() if self._window is not None else 1.0
        self.pixel_ratio = max(0.25, float(pixel_ratio))
        self.io.display_size = imgui.ImVec2(max(1, width), max(1, height))
        self.io.display_framebuffer_scale = imgui.ImVec2(self.pixel_ratio, self.pixel_ratio)

    def close(self) -> None:
        """Deletes the imgui context and all GPU resources."""
        self._use()
        for texture in imgui.get_platform_io().textures:
            texture.set_tex_id(0)
            texture.set_status(imgui.ImTextureStatus.destroyed)
        for gl_texture in self._textures.values():
            gl_texture.delete()
        self._textures.clear()
        implot.destroy_context(self._plots)
        imgui.destroy_context(self._context)


def _bytes_at(address: int, count: int) -> np.ndarray:
    """Returns a view of `count` bytes of imgui's memory, `uint8[count]`, without copying."""
    return np.ctypeslib.as_array((ctypes.c_ubyte * count).from_address(address))


def _load_fonts(io: Any) -> None:
    """Loads the text font and merges the icons into it."""
    io.fonts.add_font_from_file_ttf(str(TEXT_FONT), TEXT_PX)
    config = imgui.ImFontConfig()
    config.merge_mode = True
    config.glyph_min_advance_x = 16.0
    config.glyph_offset = imgui.ImVec2(0, 1)
    io.fonts.add_font_from_file_ttf(str(ICON_FONT), ICON_PX, config)
    imgui.get_style().font_size_base = TEXT_PX
