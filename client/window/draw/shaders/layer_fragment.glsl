#version 330
#include "ground_shared.glsl"
// Draws a layer as a colour map, with contour lines.
in vec2 at;  // cells (right, down) from the middle of the window
out vec4 colour;
uniform sampler2D field, map_colours;
uniform vec2 layer_wraps; // see `spot_in`
uniform vec4 layer_place; // see `spot_in`
uniform vec2 range;     // lowest value, 1 / (highest - lowest)
uniform float lines;    // number of contour lines between the lowest and the highest value
uniform float strength; // opacity, 0 to 1
uniform vec2 repeats;   // across, down: 1 if the layer covers the whole torus along this axis, else 0
void main() {
    vec2 spot = spot_in(layer_place, layer_wraps, at);
    float share = clamp((spline(field, spot).r - range.x) * range.y, 0.0, 1.0);
    vec3 tint = texture(map_colours, vec2(share * 255.0 / 256.0 + 0.5 / 256.0, 0.5)).rgb;
    float level = share * lines, wide = max(fwidth(level), 1e-5);
    float off = abs(fract(level + 0.5) - 0.5) / wide;
    float line = (1.0 - smoothstep(0.3, 1.2, off)) * clamp(1.4 - wide * 2.2, 0.0, 1.0) * step(0.01, share);
    tint += (0.25 + tint) * line * 0.20;
    vec2 place = middle + at;
    vec4 noise = grained(place, 70.0);
    float grain = noise.g * 0.6 + noise.b * 0.4;
    tint *= (0.92 + 0.16 * grain) * 0.86;
    vec2 inside = max(vec2(lessThanEqual(abs(spot - 0.5), vec2(0.5))), repeats);
    float cover = strength * inside.x * inside.y;
    colour = vec4(tint * cover, cover);
}
