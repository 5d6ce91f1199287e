#version 330
#include "common.glsl"
// One being as a point; the attributes are the columns of `Dots`.
in float in_x;
in float in_y;
in float in_species;  // a byte, normalized to 0 to 1, as are size and table
in float in_size;
in float in_table;
uniform sampler2D palette;  // colours by species (column) and table (row)
uniform float plants;       // 1: the dots are plants
uniform float strength;
uniform vec2 corner_cell;   // the cell (x, y) at the corner of the frame's rectangle
uniform vec2 world;         // width and height of the world in cells
out vec4 tint;
out float turned;
out float leaves;
out float pixels_wide;
void main() {
    vec4 own = texelFetch(palette, ivec2(vec2(in_species, in_table) * 255.0 + 0.5), 0);
    vec2 place = vec2(in_x, in_y);
    float tissue = in_size * 255.0;
    // random numbers depend on the position in the world, so that a dot looks the same in any frame
    vec2 spot = mod(place + corner_cell, world);
    float fate = hash2(spot * 0.917 + 0.5), other = hash2(spot.yx * 0.731 + 9.1), third = hash2(spot * 0.377 + 31.7);
    bool plant = plants > 0.5;
    float grown = clamp(tissue / 48.0, 0.0, 1.0);
    float cells = plant ? 0.70 + 1.5 * grown : clamp(0.6 + 0.16 * sqrt(tissue), 0.9, 3.0);
    float least = plant ? 3.4 : 4.6;
    pixels_wide = max(cells * scale * (plant ? 1.30 + 0.5 * third : 1.7), least + third);
    if (plant) place += (vec2(fate, other) - 0.5) * 0.95;
    gl_Position = clip(place);
    gl_PointSize = pixels_wide;
    float clump = noise(spot * 0.19) * 0.6 + noise(spot * 0.071) * 0.4;
    float light = plant ? (0.40 + 0.42 * other + 0.35 * third * third) * (0.62 + 0.85 * clump) : 1.0;
    float other_hue = plant ? (third - 0.5) * 0.26 + (clump - 0.5) * 0.3 : (fate - 0.5) * 0.10;
    tint = vec4(mix(own.rgb, own.brg, other_hue) * light, strength);
    turned = fate * 6.283;
    leaves = 5.0 + floor(other * 4.0);
}
