// A quad around a module of a plant, a flower (if FLOWER is 1) or a seed. The packed attributes (see draw/plants.py)
// are unpacked for the fragment shaders.
#include "common.glsl"

in vec2 in_corner;  // corner of the quad, -1 to 1
in vec4 in_place;   // x, y, size in cells
in uvec4 in_looks;  // genes, states, colours and flags, packed; the last is a hash of the being's id

out vec2 at;           // position in cells from the middle of the plant
flat out vec4 genes;   // leaf, shape, height, thorn, each 0 to 1
flat out vec4 state;   // hue gene of the flower, its opening, size of the plant, withering, each 0 to 1
flat out vec4 own;     // hue, flags (1: highlighted, 2: a flying seed), two random numbers of the plant (0 to 1)
flat out vec4 frame;   // pixels per cell, radius in cells, half the side of the quad in cells, strength of the gust
flat out float breeze; // sway of the leaves without wind

uniform vec2 wind;     // right, down, about -1 to 1

float byte(uint word, int at) { return float((word >> uint(8 * at)) & 255u) / 255.0; }

void main() {
    genes = vec4(byte(in_looks.x, 0), byte(in_looks.x, 1), byte(in_looks.x, 2), byte(in_looks.x, 3));
    state = vec4(byte(in_looks.y, 0), byte(in_looks.y, 1), byte(in_looks.y, 2), byte(in_looks.y, 3));
    float first = float(in_looks.w & 65535u) / 65535.0, second = float(in_looks.w >> 16u) / 65535.0;
    own = vec4(float(in_looks.z & 65535u) / 65535.0, float((in_looks.z >> 16u) & 255u), first, second);
    float radius = in_place.z * 0.5;
#if FLOWER
    float reach = radius * 0.70;
#else
    // the quad includes the shadow, which falls to the lower right
    float high = genes.z * state.z;
    float reach = max(radius * 1.10 + 0.03 + 0.15 * length(wind), radius * 0.88 + 0.16 + 0.46 * high);
    if (own.y > 1.5) reach += 0.5;
#endif
    float gust = 0.6 + 0.4 * sin(now_s * 1.7 + in_place.x * 0.35 + in_place.y * 0.22);
    frame = vec4(scale, radius, reach, gust);
    breeze = sin(now_s * 1.3 + first * 40.0) * 0.06;
    at = in_corner * reach;
    vec2 middle = in_place.xy;
#if FLOWER
    middle += wind * (0.10 + 0.25 * genes.z) * radius * gust;
#endif
    gl_Position = clip(middle + at);
}
