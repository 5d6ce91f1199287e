#version 330
// Draws a flower, from a closed bud to open petals in two rows. The inputs are those of plant_quad.glsl.
#include "canvas.glsl"

flat in vec4 genes;
flat in vec4 state;
flat in vec4 own;
flat in vec4 frame;

const float TURN = 6.2831853;

// Draws one row of petals: drop shapes with round ends, narrow while the bud is closed.
void petals_of(vec2 p, float row, float petals, float size, float open_, vec3 tint, float turn) {
    float sector = TURN / petals, angle = atan(p.y, p.x) - turn - row * 0.5 * sector, far = length(p);
    float within = angle - sector * floor(angle / sector + 0.5), reach = size * (1.0 - 0.30 * row);
    vec2 q = far * vec2(cos(within), sin(within));
    float wide = reach * mix(0.26, 0.37, open_) * min(1.0, 5.6 / petals), end = max(reach - wide, 1e-4);
    float along = clamp(q.x, 0.0, end);
    float d = length(vec2(q.x - along, q.y)) - wide * smoothstep(-0.15, 0.85, along / end);
    float t = clamp(far / reach, 0.0, 1.0), upper = clamp(dot(p, vec2(-0.55, -0.83)) / size, -1.0, 1.0);
    vec3 colour = mix(tint * vec3(0.72, 0.46, 0.60), mix(tint, vec3(1.0), 0.20 * row), smoothstep(0.10, 0.85, t));
    colour *= 0.93 + 0.10 * cos(within * petals * 5.0) * (1.0 - t) + 0.10 * upper;
    colour += 0.16 * (1.0 - smoothstep(0.0, size * 0.12, -d));
    over(vec3(0.02, 0.0, 0.02), 0.38 * (1.0 - smoothstep(0.0, size * 0.16, d)) * step(0.01, canvas.a));
    over(colour, inside(d));
}

void main() {
    fine = frame.x;
    float radius = frame.y, opened = state.y, open_ = smoothstep(0.20, 0.95, opened), turn = own.z * TURN * 3.0;
    float size = radius * (0.13 + 0.29 * open_ + 0.05 * own.z) * smoothstep(-0.3, 0.25, opened), far = length(at);
    vec3 tint = hsv(0.98 + (state.x * 2.0 - 1.0) * 0.2 + (own.z - 0.5) * 0.02, 0.56, 1.0);
    tint = mix(tint, vec3(0.50, 0.36, 0.22), state.w * 0.6);
    float petals = 5.0 + floor(own.w * 3.4);
    vec2 below = at - vec2(0.55, 0.83) * size * 0.22;
    canvas.a = 0.55 * (1.0 - smoothstep(size * 0.55, size * 1.45, length(below)));
    petals_of(at, 0.0, petals, size, open_, tint, turn);
    petals_of(at, 1.0, petals, size, open_, tint, turn);

    // the centre; while the flower is closed, it is the bud, with spiral petals
    float shut = 1.0 - smoothstep(0.05, 0.55, open_), heart = size * mix(0.27, 0.92, shut);
    float core = far - heart, dome = sqrt(max(0.0, 1.0 - far * far / (heart * heart)));
    float wound = sin(atan(at.y, at.x) * 3.0 + turn + far / max(heart, 1e-4) * 5.0);
    float lit = clamp(0.55 + 0.35 * dome + 0.35 * dot(at, vec2(-0.55, -0.83)) / heart, 0.0, 1.2);
    vec3 bud = mix(tint, vec3(1.0), 0.22) * lit * (0.98 + 0.16 * wound);
    vec3 sepal = hsv(own.x, 0.55, 0.62) * lit;
    bud = mix(bud, sepal, smoothstep(0.55, 0.85, far / heart + 0.10 * wound) * (1.0 - smoothstep(0.1, 0.5, opened)));
    over(vec3(0.04, 0.02, 0.0), (1.0 - smoothstep(0.0, size * 0.12, core)) * 0.45);
    over(mix(vec3(1.0, 0.80, 0.28) * (0.70 + 0.45 * dome), bud, shut), inside(core));
    // a ring of pollen
    float number = petals + 4.0, angle = atan(at.y, at.x) * number / TURN;
    float aside = abs(fract(angle) - 0.5) * TURN / number * far;
    float grains = length(vec2(aside, far - heart * 0.74)) - heart * 0.13;
    over(vec3(1.0, 0.95, 0.68), inside(grains) * (1.0 - shut));
    canvas.rgb += tint * (0.10 * open_ * exp2(-far / max(size, 1e-4) * 2.6));

    vec2 rest = 1.0 - abs(at) / frame.z;
    colour_out = clamp(canvas, 0.0, 4.0) * (strength * smoothstep(0.0, 0.10, min(rest.x, rest.y)));
}
