#version 330
// A line in pixels: a quad around it, a little wider for soft edges.
in vec2 in_vert;
in vec4 in_line;    // right, down of both ends
in vec4 in_tint;
in float in_width;
uniform vec2 viewport;
out vec4 tint;
out vec2 off;       // pixels along and across, from the middle
out vec2 half_size;
void main() {
    vec2 a = in_line.xy, b = in_line.zw, way = b - a;
    float far = max(length(way), 1e-3);
    vec2 along = way / far, across = vec2(-along.y, along.x);
    half_size = vec2(far * 0.5, in_width * 0.5);
    off = in_vert * (half_size + in_width * 2.0 + 2.0);
    vec2 p = (a + b) * 0.5 + along * off.x + across * off.y;
    tint = in_tint;
    gl_Position = vec4(p.x * 2.0 / viewport.x - 1.0, 1.0 - p.y * 2.0 / viewport.y, 0.0, 1.0);
}
