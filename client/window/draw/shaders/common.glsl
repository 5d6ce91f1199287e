// Shared by all programs that draw beings: the transformation from cells to the window, random numbers and noise.
uniform vec2 corner;    // cells (right, down) from the window's middle to the corner of the frame's rectangle
uniform float scale;    // pixels per cell
uniform vec2 viewport;  // pixels
uniform float now_s;    // present time in seconds
uniform float glide_s;  // time in seconds in which a being moves to a new position

// Converts cells (right, down), counted from the rectangle's corner, to clip space.
vec4 clip(vec2 cells) {
    vec2 pixels = (corner + cells) * scale;
    return vec4(pixels.x * 2.0 / viewport.x, -pixels.y * 2.0 / viewport.y, 0.0, 1.0);
}

// Pseudorandom numbers from 0 to 1.
float hash(float n) { return fract(sin(n) * 43758.5453123); }
float hash2(vec2 p) { return fract(sin(dot(p, vec2(127.1, 311.7))) * 43758.5453123); }

// Value noise from 0 to 1 on a grid of side 1.
float noise(vec2 p) {
    vec2 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash2(i), hash2(i + vec2(1, 0)), f.x), mix(hash2(i + vec2(0, 1)), hash2(i + vec2(1, 1)), f.x), f.y);
}

// Converts hue, saturation and value, each 0 to 1, to red, green and blue.
vec3 hsv(float hue, float saturation, float value) {
    vec3 wheel = clamp(abs(fract(hue + vec3(0.0, 2.0 / 3.0, 1.0 / 3.0)) * 6.0 - 3.0) - 1.0, 0.0, 1.0);
    return value * mix(vec3(1.0), wheel, saturation);
}
