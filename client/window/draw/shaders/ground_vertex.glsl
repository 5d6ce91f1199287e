#version 330
// Covers the window. `at` is the position in cells (right, down) from its middle, `uv` the position from 0 to 1.
in vec2 in_vert;
out vec2 at;
out vec2 uv;
uniform vec2 half_view;  // half of the window's width and height in cells
void main() {
    at = in_vert * vec2(1.0, -1.0) * half_view;
    uv = in_vert * 0.5 + 0.5;
    gl_Position = vec4(in_vert, 0.0, 1.0);
}
