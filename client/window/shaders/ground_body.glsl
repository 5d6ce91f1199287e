#include "ground_shared.glsl"
in vec2 at;
out vec4 colour;
uniform sampler2D lie_plane, smell_plane, sky_plane;
uniform vec4 ground_place;  // cells (x, y) from the window's middle to the planes' corner, one over their cells
uniform float pixels;       // a cell
uniform float seconds;
uniform float scents;
uniform float weather;

// The net of light under water: bright where two fields of noise cross their middle.
float caustics(vec2 place) {
    float bend = lattice(place + vec2(seconds * 0.20, -seconds * 0.13), steps_of(13.0));
    vec2 shift = 2.4 * vec2(cos(bend * 6.283), sin(bend * 6.283));
    float a = lattice(place + shift + vec2(seconds * 0.33, seconds * 0.21), steps_of(9.0)) - 0.5;
    float b = lattice(place - shift - vec2(seconds * 0.24, -seconds * 0.30), steps_of(5.5)) - 0.5;
    float thin = 1.0 / (0.022 + 0.05 / pixels);
    return exp(-a * a * thin * thin) + 0.7 * exp(-b * b * thin * thin);
}

// Rings that drops leave on water.
float ripples(vec2 place, float rain) {
    vec2 p = place / 2.2;
    vec2 cell = floor(p);
    float when = dice(mod(cell, 4096.0) + 17.0), round = floor(seconds * 0.8 + when), age = fract(seconds * 0.8 + when);
    vec2 spot = vec2(dice(mod(cell + round * 7.0, 4096.0)), dice(mod(cell + round * 13.0 + 5.0, 4096.0))) * 0.4 + 0.3;
    float far = length(p - cell - spot), ring = (far - age * 0.34) * 22.0;
    return exp(-ring * ring) * (1.0 - age) * step(dice(mod(cell + round * 3.0 + 9.0, 4096.0)), rain);
}

void main() {
    vec2 place = middle + at;
    vec2 spot = (at - ground_place.xy) * ground_place.zw;
    vec4 lie = spline(lie_plane, spot), smell = spline(smell_plane, spot), sky = spline(sky_plane, spot);
    float fine = smoothstep(3.0, 16.0, pixels), finer = smoothstep(14.0, 60.0, pixels);
    float broad = lattice(place, steps_of(17.0)), coarse = lattice(place, steps_of(5.0));
    float middling = lattice(place, steps_of(1.6)), small = lattice(place, steps_of(0.55));
    float tiny = lattice(place, steps_of(0.19));
    float grain = 0.20 * broad + 0.34 * coarse + 0.28 * middling + 0.18 * small;
    grain = clamp((grain - 0.5) * 2.0 + 0.5, 0.0, 1.0);
    // shores are ragged: noise moves them by a little water
    float depth = clamp(lie.x + (middling - 0.5) * 0.022 * smoothstep(0.0, 0.05, lie.x), 0.0, 1.0);
    float moisture = lie.y, height = lie.z, detritus = smell.w;

    vec3 land = mix(vec3(0.105, 0.070, 0.082), vec3(0.030, 0.058, 0.052), clamp(moisture * 1.3 - 0.25, 0.0, 1.0));
    land = mix(land, vec3(0.046, 0.088, 0.052), smoothstep(0.45, 0.8, coarse * 0.55 + broad * 0.45) * moisture * 0.8);
    land = mix(land, vec3(0.150, 0.135, 0.150), clamp(height - 0.60, 0.0, 1.0) * 1.4);
    land = mix(land, vec3(0.105, 0.040, 0.120), detritus * 0.85);
    land = mix(land, vec3(0.13, 0.36, 0.20), sky.w * 0.85);
    float slope = clamp(lie.w, -0.55, 0.75);
    float speck = fine * (smoothstep(0.70, 0.92, small) * 0.5 - smoothstep(0.30, 0.06, small) * 0.35)
        + finer * (tiny - 0.5) * 0.6;
    land *= 1.0 + slope + (grain - 0.5) * 0.95 + speck;
    // pebbles catch light from the north-west when they are near enough to be seen
    float relief = small - lattice(place + 0.09, steps_of(0.55));
    land *= 1.0 + fine * clamp(relief * 1.6, -0.3, 0.45);
    float cold = smoothstep(1.0, -6.0, sky.y + (coarse - 0.5) * 3.0 + (small - 0.5) * 1.5) * weather;
    vec3 snow = vec3(0.50, 0.57, 0.66) * (0.78 + 0.4 * slope + 0.22 * grain);
    land = mix(land, snow, cold * (0.72 + 0.2 * middling));

    vec3 sea = mix(vec3(0.028, 0.150, 0.200), vec3(0.011, 0.030, 0.092), sqrt(clamp(depth * 1.4, 0.0, 1.0)));
    sea *= 0.88 + 0.24 * lattice(place + vec2(seconds * 0.5, seconds * 0.2), steps_of(7.0));
    float shallow = clamp(depth * 14.0, 0.0, 1.0);
    vec3 net = caustics(place) * shallow * exp(-depth * 1.6) * vec3(0.02, 0.10, 0.13) * smoothstep(1.2, 5.0, pixels);
    sea += net * 1.35;
    sea += ripples(place, clamp(sky.z * 2.0, 0.0, 1.0)) * vec3(0.10, 0.16, 0.20) * weather * smoothstep(5.0, 10.0, pixels);
    sea = mix(sea, vec3(0.30, 0.42, 0.52) * (0.75 + 0.4 * coarse), cold * 0.7);
    colour.rgb = mix(land, sea, shallow);
    float edge = (depth - 0.035) / 0.030;
    float lap = 0.85 + 0.15 * sin(seconds * 1.4 + broad * 19.0);
    colour.rgb += exp(-edge * edge) * (0.55 + 0.9 * grain) * lap * vec3(0.035, 0.20, 0.21) * (1.0 - 0.6 * cold);
    float wisp = 0.55 + 0.9 * lattice(place + vec2(seconds * 0.6, -seconds * 0.35), steps_of(3.2)) * (0.5 + coarse);
    vec3 glow = smell.x * vec3(0.05, 0.17, 0.10) + smell.y * vec3(0.20, 0.05, 0.22) + smell.z * vec3(0.34, 0.08, 0.05);
    colour.rgb += glow * wisp * 0.75 * scents;
    colour.a = 1.0;
}
