// Noise that repeats with the torus, and smooth samples of planes, in which cells are not visible.
uniform vec2 middle;  // the position (x, y) in the middle of the window, in cells
uniform vec2 world;   // width and height of the world in cells

// Pseudorandom number of a cell, from 0 to 1.
float dice(vec2 cell) {
    uvec2 q = uvec2(ivec2(cell));
    uint h = q.x * 1597334677u ^ q.y * 3812015801u;
    h = (h ^ (h >> 15u)) * 2246822519u;
    h = (h ^ (h >> 13u)) * 3266489917u;
    return float((h ^ (h >> 16u)) >> 8u) * (1.0 / 16777216.0);
}

// Returns gradient noise, 0 to 1 with a mean of one half, at four scales: 8, 32, 96 and 224 grains along `cells` cells.
uniform sampler2D grains;
vec4 grained(vec2 place, float cells) {
    return texture(grains, place * max(vec2(1.0), floor(world / cells + 0.5)) / world);
}

// Returns value noise, 0 to 1, on a grid of `steps` squares around the torus, so that all copies of the world are
// equal.
float lattice(vec2 place, vec2 steps) {
    vec2 p = place * steps / world;
    vec2 i = floor(p), f = p - i;
    f = f * f * f * (f * (f * 6.0 - 15.0) + 10.0);
    vec2 low = mod(i, steps), high = mod(i + 1.0, steps);
    return mix(mix(dice(low), dice(vec2(high.x, low.y)), f.x), mix(dice(vec2(low.x, high.y)), dice(high), f.x), f.y);
}

// Returns the number of steps around the torus for squares of about `cells` cells, at least 4.
vec2 steps_of(float cells) { return max(vec2(4.0), floor(world / cells + 0.5)); }

// Converts `at`, in cells from the middle of the window, to texture coordinates of a plane. `plane` is its location: xy
// is its corner in cells from the middle of the window, zw is 1 / its width and height in cells. `wraps` is 1 along
// each axis on which the plane covers more cells than the torus has, else 0.
vec2 spot_in(vec4 plane, vec2 wraps, vec2 at) {
    vec2 off = at - plane.xy;
    return mix(off, mod(off, world), wraps) * plane.zw;
}

// Samples a texture by a cubic B-spline, computed from four bilinear samples.
vec4 spline(sampler2D plane, vec2 uv) {
    vec2 size = vec2(textureSize(plane, 0));
    vec2 p = uv * size - 0.5;
    vec2 i = floor(p), f = p - i, g = 1.0 - f;
    vec2 w0 = g * g * g / 6.0, w1 = (4.0 - 6.0 * f * f + 3.0 * f * f * f) / 6.0;
    vec2 w3 = f * f * f / 6.0, w2 = 1.0 - w0 - w1 - w3;
    vec2 low = w0 + w1, high = w2 + w3;
    vec2 a = (i - 0.5 + w1 / low) / size, b = (i + 1.5 + w3 / high) / size;
    return mix(
        mix(texture(plane, b), texture(plane, vec2(a.x, b.y)), low.x),
        mix(texture(plane, vec2(b.x, a.y)), texture(plane, a), low.x), low.y);
}
