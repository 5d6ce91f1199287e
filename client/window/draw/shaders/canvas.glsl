// Composition of a pixel of a body: colours are blended over each other, each with a coverage.
#include "common.glsl"

in vec2 at;  // position on the quad
out vec4 colour_out;
uniform float strength;

vec4 canvas = vec4(0.0);  // the result so far, premultiplied by alpha
float fine;               // pixels per unit of distance; the larger, the sharper the edges

// Coverage, 0 to 1, at a signed distance from an edge (negative inside), smoothed over one pixel.
float inside(float distance) { return clamp(0.5 - distance * fine, 0.0, 1.0); }
// Blends `colour` over the canvas with the coverage `cover`.
void over(vec3 colour, float cover) {
    canvas *= 1.0 - cover;
    canvas += vec4(colour * cover, cover);
}
