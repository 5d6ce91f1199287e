#version 330
// A quad along a stem, from a module to the older module from which it budded. The packed attributes (see
// draw/plants.py) are unpacked for stem_cord.glsl.
#include "common.glsl"

in vec2 in_corner;  // corner of the quad, -1 to 1
in vec4 in_place;   // x, y of the module; offset to the older module in cells
in uvec4 in_looks;  // genes, states, colours and flags, packed

out vec2 at;           // position in cells: x along the stem (0 at the module), y across
flat out vec4 cord;    // length, bend, half thickness at the module and at the older module, in cells
flat out vec4 tint;    // hue, withering, pixels per cell, a random number of the stem (0 to 1)
flat out vec4 light;   // direction to the light along and across the stem, thorns (0 to 1), distance of the shadow

float byte(uint word, int at) { return float((word >> uint(8 * at)) & 255u) / 255.0; }

void main() {
    vec2 way = in_place.zw;
    float far = max(length(way), 1e-3), own = float(in_looks.w & 65535u) / 65535.0;
    vec2 ahead = way / far, across = vec2(-ahead.y, ahead.x);
    float grown = byte(in_looks.y, 2), elder = byte(in_looks.z, 3), height = byte(in_looks.x, 2);
    cord = vec4(far, (own - 0.5) * 0.42 * far, mix(0.022, 0.052, grown), mix(0.036, 0.085, elder));
    tint = vec4(float(in_looks.z & 65535u) / 65535.0, byte(in_looks.y, 3), scale, own);
    vec2 lit = vec2(-0.55, -0.83);
    light = vec4(dot(lit, ahead), dot(lit, across), byte(in_looks.x, 3), 0.05 + 0.10 * height);
    float margin = 0.30;
    at = vec2(mix(-margin, far + margin, in_corner.x * 0.5 + 0.5), in_corner.y * (margin + abs(cord.y) * 0.6));
    gl_Position = clip(in_place.xy + ahead * at.x + across * at.y);
}
