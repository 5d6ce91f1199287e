#version 330
// A quad along a stem, from a module to the elder one that it budded from.
#include "common.glsl"

in vec2 in_corner;
in vec4 in_place;  // x, y, and the way to the other's middle
in uvec4 in_looks;

out vec2 at;           // x along the way (0 at the module, in cells), y across
flat out vec4 cord;    // length, bend, thickness at the module, at the elder
flat out vec4 tint;    // hue, withered, pixels per cell, a random number of the stem
flat out vec4 light;   // the light's direction along and across, thorns, how far the shadow falls

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
