#version 330
// A quad around a line, wider than the line to leave room for soft edges.
in vec2 in_vert;    // corner of the quad, -1 to 1
in vec4 in_line;    // both ends in pixels: right, down, right, down
in vec4 in_tint;
in float in_width;  // pixels
uniform vec2 viewport;
out vec4 tint;
out vec2 off;       // pixels along and across the line, from its middle
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
