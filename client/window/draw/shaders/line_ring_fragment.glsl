#version 330
// Draws a ring with soft edges and a faint halo; dashes rotate slowly.
in vec4 tint;
in vec2 off;   // pixels (right, down) from the centre
in vec2 ring;  // radius in pixels, number of dashes (0: a closed ring)
uniform float seconds;
out vec4 colour;
void main() {
    float far = length(off), radius = ring.x;
    float thick = clamp(radius * 0.026, 1.2, 3.0);
    float turn = atan(off.y, off.x) / 6.2831853 + seconds * 0.06;
    float dash = 1.0;
    if (ring.y > 0.5) {
        float share = abs(fract(turn * ring.y) - 0.5) * 2.0;
        float soft = ring.y / (6.28 * max(radius, 1.0)) * 2.0;
        dash = 1.0 - smoothstep(0.60 - soft, 0.60 + soft, share);
    }
    float away = abs(far - radius);
    float core = (1.0 - smoothstep(thick - 0.6, thick + 0.6, away)) * dash;
    float halo = exp(-away * away / (radius * radius * 0.012 + 9.0)) * (0.18 + 0.16 * dash);
    colour = vec4(tint.rgb * (core + halo), core * 0.85) * tint.a;
}
