// Draws the ground from three composed textures (see ground_compose_fragment.glsl). Small details are drawn if NEAR is
// defined.
#include "ground_shared.glsl"
in vec2 at;  // cells (right, down) from the middle of the window
out vec4 colour;
uniform sampler2D lie_plane, smell_plane, sky_plane;
uniform vec2 ground_wraps;  // see `spot_in`
uniform vec4 ground_place;  // see `spot_in`
uniform float pixels;       // pixels per cell
uniform float seconds;
uniform float scents;       // 1: scents are drawn
uniform float weather;      // 1: rain and frost are drawn

// Returns the brightness of the net of light under water: high on the lines where one of two noises is at its middle.
float caustics(vec2 place) {
    vec2 slow = vec2(seconds * 0.21, -seconds * 0.14);
    vec2 bend = vec2(lattice(place + slow, steps_of(11.0)), lattice(place.yx - slow + 37.0, steps_of(8.0).yx)) - 0.5;
    float a = lattice(place + bend * 9.0 + vec2(seconds * 0.26, seconds * 0.17), steps_of(7.0)) - 0.5;
    float b = lattice(place - bend * 7.0 - vec2(seconds * 0.19, -seconds * 0.23), steps_of(4.3)) - 0.5;
    // distances from the lines in pixels, so that lines have the same width where the noise is flat
    float wide = 0.7 + 0.075 * pixels;
    float far_a = a / max(fwidth(a), 1e-4) / wide, far_b = b / max(fwidth(b), 1e-4) / wide;
    float net = exp(-far_a * far_a) + 0.6 * exp(-far_b * far_b);
    return net * (0.55 + 0.9 * smoothstep(0.1, -0.2, bend.x * 2.0)) + 0.25 * exp(-a * a * 90.0);
}

#ifdef NEAR
// Returns the brightness of the rings that rain drops make on water.
float ripples(vec2 place, float rain) {
    vec2 p = place / 2.2;
    vec2 cell = floor(p);
    float when = dice(mod(cell, 4096.0) + 17.0), round = floor(seconds * 0.8 + when), age = fract(seconds * 0.8 + when);
    vec2 spot = vec2(dice(mod(cell + round * 7.0, 4096.0)), dice(mod(cell + round * 13.0 + 5.0, 4096.0))) * 0.4 + 0.3;
    float far = length(p - cell - spot), ring = (far - age * 0.34) * 22.0;
    return exp(-ring * ring) * (1.0 - age) * step(dice(mod(cell + round * 3.0 + 9.0, 4096.0)), rain);
}

// Returns light, coverage and shadow of stones. The ground is divided into squares of `cells` cells; some contain one
// stone.
vec3 stones(vec2 place, float cells, float salt) {
    vec2 steps = steps_of(cells), p = place * steps / world, cell = mod(floor(p), steps) + salt;
    float chance = dice(cell), own = dice(cell + 31.0), other = dice(cell + 67.0);
    float size = 0.10 + 0.16 * own;
    vec2 off = fract(p) - 0.5 - (vec2(own, other) - 0.5) * (0.9 - 2.0 * size);
    float turn = other * 6.283, bent = 1.0 + 0.18 * sin(3.0 * atan(off.y, off.x) + turn);
    off = vec2(off.x * cos(turn) + off.y * sin(turn), (off.y * cos(turn) - off.x * sin(turn)) * 1.3) * bent;
    float far = length(off) / size, there = step(chance, 0.30);
    vec2 light = vec2(-cos(turn) - sin(turn), sin(turn) - cos(turn)) * 0.5;
    float lit = clamp(0.50 + 0.75 * dot(off / size, light), 0.0, 1.2) * (1.0 - smoothstep(0.80, 1.0, far));
    float shade = (1.0 - smoothstep(0.7, 1.6, length(off / size + light * 0.5)));
    return vec3(lit, 1.0 - smoothstep(0.85, 1.0, far), shade) * there;
}
#endif

void main() {
    vec2 place = middle + at;
    vec2 spot = spot_in(ground_place, ground_wraps, at);
    vec4 lie = spline(lie_plane, spot), smell = spline(smell_plane, spot), sky = spline(sky_plane, spot);
    float fine = smoothstep(3.0, 14.0, pixels), finer = smoothstep(12.0, 40.0, pixels);
    float broad = lattice(place, steps_of(23.0)), coarse, middling, small, tiny = 0.5;
    vec4 wide = grained(place, 196.0);
    coarse = wide.g;
    middling = wide.b;
    vec2 bent = place + vec2(middling - coarse, coarse - broad) * 0.6;
    vec4 narrow = grained(bent, 23.0);
    small = narrow.g;
#ifdef NEAR
    tiny = narrow.b * 0.7 + narrow.a * 0.3;
#endif
    float grain = 0.22 * broad + 0.30 * coarse + 0.28 * middling + 0.20 * small;
    grain = clamp((grain - 0.5) * 2.3 + 0.5, 0.0, 1.0);
    // noise is added to the depth of water, so that shores are ragged
    float ragged = ((middling - 0.5) * 0.05 + (small - 0.5) * 0.02) * smoothstep(0.0, 0.06, lie.x);
    float depth = clamp(lie.x + ragged, 0.0, 1.0);
    float moisture = lie.y, height = lie.z, detritus = smell.w;

    float shallow = clamp(depth * 14.0, 0.0, 1.0);
    vec3 land = mix(vec3(0.142, 0.102, 0.080), vec3(0.036, 0.074, 0.062), clamp(moisture * 1.3 - 0.25, 0.0, 1.0));
    float moss = smoothstep(0.42, 0.72, coarse * 0.6 + broad * 0.4 + (small - 0.5) * 0.25);
    land = mix(land, vec3(0.050, 0.105, 0.058), moss * moisture * 0.85);
    float rock = clamp(height - 0.55, 0.0, 1.0) * 1.6 * (0.25 + 1.5 * grain * middling);
    rock += smoothstep(0.62, 0.85, middling * 0.5 + coarse * 0.5) * 0.3;
    land = mix(land, vec3(0.168, 0.148, 0.146), clamp(rock, 0.0, 0.8));
    land = mix(land, vec3(0.118, 0.050, 0.112), detritus * 0.85 * (0.6 + 0.8 * middling));
    land = mix(land, vec3(0.13, 0.36, 0.20), sky.w * 0.85);
    float slope = clamp(lie.w, -0.55, 0.75);
    float speck = fine * (smoothstep(0.60, 0.80, small * 0.6 + tiny * 0.4) * 0.45 - smoothstep(0.40, 0.20, small) * 0.20)
        + finer * (tiny - 0.5) * 0.9;
    land *= 1.0 + slope + (grain - 0.5) * 1.1 + speck;
#ifdef NEAR
    vec3 stone = stones(place, 1.7, 3.0) * fine + stones(place, 0.8, 71.0) * finer;
    land = land * (1.0 - stone.z * 0.45) + (vec3(0.105, 0.100, 0.112) * stone.x * (0.6 + 0.7 * grain)
        + vec3(0.020, 0.055, 0.030) * moss * stone.x);
    // small unevenness is lit from the upper left
    vec2 relief = narrow.gb - grained(bent + 0.08, 23.0).gb;
    land *= 1.0 + fine * clamp(relief.x * 0.55 + relief.y * 0.55 * finer, -0.25, 0.3);
#endif
    // light frost covers the ground in patches
    float frost = clamp((1.5 - sky.y) / 7.0, 0.0, 1.0) * weather;
    float cold = smoothstep(0.0, 0.30, frost * 1.5 - (0.55 * coarse + 0.30 * middling + 0.25 * small) * 0.8);
    vec3 snow = vec3(0.42, 0.50, 0.60) * (0.74 + 0.5 * slope + 0.30 * grain);
    land = mix(land * 1.18, snow, cold * (0.70 + 0.25 * small));

    vec3 sea = vec3(0.0);
    if (shallow > 0.0) {
        sea = mix(vec3(0.028, 0.150, 0.200), vec3(0.011, 0.030, 0.092), sqrt(clamp(depth * 1.4, 0.0, 1.0)));
        sea *= 0.88 + 0.24 * grained(place + vec2(seconds * 0.5, seconds * 0.2), 210.0).g;
        sea += exp(-depth * 9.0) * vec3(0.006, 0.085, 0.105) * (0.35 + 1.1 * coarse * middling * 2.0);
        float net = caustics(place) * shallow * exp(-depth * 1.9) * smoothstep(1.2, 5.0, pixels);
        sea += net * vec3(0.027, 0.150, 0.190);
#ifdef NEAR
        float rings = ripples(place, clamp(sky.z * 2.0, 0.0, 1.0)) * smoothstep(5.0, 10.0, pixels);
        sea += rings * weather * vec3(0.10, 0.16, 0.20);
#endif
        sea = mix(sea, vec3(0.30, 0.42, 0.52) * (0.75 + 0.4 * coarse), cold * 0.7);
    }
    colour.rgb = mix(land, sea, shallow);
    float edge = (depth - 0.035) / 0.030;
    float lap = 0.85 + 0.15 * sin(seconds * 1.4 + broad * 19.0);
    colour.rgb += exp(-edge * edge) * (0.55 + 0.9 * grain) * lap * vec3(0.035, 0.20, 0.21) * (1.0 - 0.6 * cold);
    float wisp = 0.55 + 0.9 * grained(place + vec2(seconds * 0.6, -seconds * 0.35), 104.0).g * (0.5 + coarse);
    vec3 glow = smell.x * vec3(0.05, 0.17, 0.10) + smell.y * vec3(0.20, 0.05, 0.22) + smell.z * vec3(0.34, 0.08, 0.05);
    colour.rgb += glow * wisp * 0.75 * scents;
    colour.a = 1.0;
}
