#version 330
// The whole window: `at` is the way in cells (right, down) from its middle.
in vec2 in_vert;
out vec2 at;
out vec2 uv;
uniform vec2 half_view;  // cells
void main() {
    at = in_vert * vec2(1.0, -1.0) * half_view;
    uv = in_vert * 0.5 + 0.5;
    gl_Position = vec4(in_vert, 0.0, 1.0);
}
