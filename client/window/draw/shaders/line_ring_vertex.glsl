#version 330
// A quad around a ring.
in vec2 in_vert;    // corner of the quad, -1 to 1
in vec4 in_ring;    // centre (right, down) and radius in pixels; number of dashes (0: a closed ring)
in vec4 in_tint;
uniform vec2 viewport;
out vec4 tint;
out vec2 off;
out vec2 ring;
void main() {
    off = in_vert * (in_ring.z * 1.35 + 12.0);
    ring = in_ring.zw;
    tint = in_tint;
    vec2 p = in_ring.xy + off;
    gl_Position = vec4(p.x * 2.0 / viewport.x - 1.0, 1.0 - p.y * 2.0 / viewport.y, 0.0, 1.0);
}
