// The canvas of bodies: colours are laid over a pixel one after the other.
#include "common.glsl"

in vec2 at;  // position on the quad
out vec4 colour_out;
uniform float strength;

vec4 canvas = vec4(0.0);
float fine;  // pixels per unit of distance: how sharp edges are

float inside(float distance) { return clamp(0.5 - distance * fine, 0.0, 1.0); }
void over(vec3 colour, float cover) {
    canvas *= 1.0 - cover;
    canvas += vec4(colour * cover, cover);
}
