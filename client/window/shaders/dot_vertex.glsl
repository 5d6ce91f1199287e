#version 330
#include "common.glsl"
// One being from afar, as a point: columns as the feed has them.
in float in_x;
in float in_y;
in float in_species;  // bytes, told as 0 to 1; so are size and table
in float in_size;
in float in_table;
uniform sampler2D palette;  // by species (across) and table (down); alpha: 1 for plants
uniform float plants;       // 1: draw plants; 0: the others
uniform float strength;
out vec4 tint;
out float turned;
out float leaves;
out float pixels_wide;
void main() {
    vec4 own = texelFetch(palette, ivec2(vec2(in_species, in_table) * 255.0 + 0.5), 0);
    vec2 place = vec2(in_x, in_y);
    float tissue = in_size * 255.0;
    float fate = hash2(place * 3.17 + 0.5), other = hash2(place.yx * 1.73 + 9.1);
    bool plant = own.a > 0.5;
    float cells = plant ? 0.75 + 1.55 * clamp(tissue / 48.0, 0.0, 1.0) : clamp(0.6 + 0.16 * sqrt(tissue), 0.9, 3.0);
    pixels_wide = max(cells * scale * (plant ? 1.10 : 1.7), plant ? 2.6 : 4.2);
    if (plant) place += (vec2(fate, other) - 0.5) * 0.6;
    gl_Position = plant == (plants > 0.5) ? clip(place) : vec4(9.0, 9.0, 9.0, 1.0);
    gl_PointSize = pixels_wide;
    float light = plant ? 0.62 + 0.55 * other : 1.0;
    tint = vec4(mix(own.rgb, own.brg, plant ? (fate - 0.5) * 0.22 : (fate - 0.5) * 0.10) * light, strength);
    turned = fate * 6.283;
    leaves = 5.0 + floor(other * 4.0);
}
