#version 330
// Draws a line with soft edges and a faint halo.
in vec4 tint;
in vec2 off;        // pixels along and across the line, from its middle
in vec2 half_size;  // half of the line's length and width in pixels
out vec4 colour;
void main() {
    vec2 over = max(abs(off) - half_size + 0.5, 0.0);
    float far = length(over);
    float core = 1.0 - smoothstep(0.0, 1.0, far);
    float halo = exp(-far * far / (half_size.y * half_size.y * 5.0 + 1.0)) * 0.22;
    colour = vec4(tint.rgb * (core + halo), core * 0.8) * tint.a;
}
