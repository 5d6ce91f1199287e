// Draws a module of a plant as a rosette: rings of leaves over a soft shadow. If NEAR is 0, fewer details are drawn.
// The inputs are those of plant_quad.glsl.
#include "canvas.glsl"

flat in vec4 genes;
flat in vec4 state;
flat in vec4 own;
flat in vec4 frame;
flat in float breeze;
uniform vec2 wind;

const float TURN = 6.2831853;
#if NEAR
const int RINGS = 3;
#else
const int RINGS = 2;
#endif

float nearest = 1.0;  // distance to the nearest leaf drawn so far

// Returns the signed distance to a leaf along x, with its root at the origin: two arcs that meet in points. `full`
// moves the widest part.
float blade(vec2 p, float reach, float half_width, float full) {
    float t = clamp(p.x / reach, 0.0, 1.0);
    float x = reach * mix(t, t * (2.0 - t), full) + min(p.x, 0.0) + max(p.x - reach, 0.0);
    float rise = max((reach * reach * 0.25 - half_width * half_width) / (2.0 * half_width), 0.0);
    return length(vec2(x - reach * 0.5, abs(p.y) + rise)) - (rise + half_width);
}

// Draws one leaf of a ring over the canvas; in the coordinates of `p`, it has its root at the origin and lies along x.
void leaf(vec2 p, float angle, float reach, float half_width, vec3 tone, float ring, float chance, float sway) {
    float t = clamp(p.x / reach, 0.0, 1.2), withered = state.w;
    // leaves bend in the wind, and curl when they wither
    p.y -= (sway + (chance - 0.5) * (0.10 + 0.9 * withered)) * reach * t * t;
    half_width *= 1.0 - 0.45 * withered;
    float d = blade(p, reach, half_width, 0.25 + 0.6 * genes.x);
#if NEAR
    float thorny = smoothstep(0.25, 0.9, genes.w), teeth = abs(fract(t * 7.0 - 0.15) - 0.5) * 2.0;
    float jagged = smoothstep(0.05, 0.25, t) * (1.0 - smoothstep(0.80, 0.96, t));
    d -= thorny * jagged * (teeth * teeth - 0.35) * half_width * 0.20;
    // the shadow on leaves below
    over(vec3(0.0, 0.012, 0.02), 0.34 * (1.0 - smoothstep(0.0, 0.055 + 0.02 * ring, d)) * min(canvas.a, 1.0));
#endif
    nearest = min(nearest, d);
    float edge = clamp(-d / half_width, 0.0, 1.0);
    float upper = p.y * (sin(angle) * 0.55 - cos(angle) * 0.83) > 0.0 ? 1.0 : 0.0;  // the half that faces the light
    float lift = 0.60 + 0.40 * t;
    vec3 colour = tone * lift * mix(0.84, 1.10, upper);
    colour += tone * vec3(0.55, 0.42, 0.12) * t * t * 0.45;
#if NEAR
    // side veins run to the tip
    float vein = abs(fract((t - abs(p.y) / reach * 0.9) * 6.0) - 0.5) * 2.0;
    colour *= 1.0 - 0.16 * smoothstep(0.72, 1.0, vein) * smoothstep(0.0, 0.3, edge);
    colour += tone * 0.10 * (1.0 - smoothstep(0.5, 0.8, vein)) * edge;
    float rib = exp2(-p.y * p.y * fine * fine / max(1.0, fine * fine * 0.00022 * (1.3 - t) * (1.3 - t)) * 1.4);
    colour = mix(colour, tone * 1.25 + vec3(0.20, 0.24, 0.12), rib * (1.0 - 0.7 * t) * 0.60);
    float lit_edge = (1.0 - smoothstep(0.0, 0.028, -d)) * (0.26 + 0.49 * upper);
    colour += (tone * 0.55 + vec3(0.10, 0.13, 0.10)) * lit_edge;
    colour = mix(colour, vec3(0.90, 0.55, 0.42), thorny * teeth * teeth * (1.0 - smoothstep(0.0, 0.03, -d)) * 0.85);
#else
    colour += tone * 0.30 * (1.0 - smoothstep(0.0, 0.06, -d)) + tone * 0.25 * exp2(-p.y * p.y * 900.0) * (1.0 - t);
#endif
    over(colour, inside(d) * 0.98);
}

// Draws a ring of `count` leaves of length `reach`; `slim` is the ratio of their width to it, `turn` the ring's angle.
void ring_of(vec2 p, float ring, float count, float reach, float slim, vec3 tone, float turn) {
    float sector = TURN / count, angle = atan(p.y, p.x) - turn, far = length(p);
    float index = floor(angle / sector + 0.5);
    float beside = (angle - index * sector) >= 0.0 ? 1.0 : -1.0;
#if NEAR
    const int LEAVES = 2;
#else
    const int LEAVES = 1;
#endif
    for (int i = 0; i < LEAVES; i++) {
        // the neighbour first, because this leaf covers it
        float k = i == LEAVES - 1 ? index : index + beside;
        float named = k - count * floor(k / count), chance = fract(named * 0.7548777 + ring * 0.5698403 + own.z * 17.0);
        float middle = k * sector + turn + (chance - 0.5) * 0.16 * sector;
        vec2 ahead = vec2(cos(middle), sin(middle));
        vec2 q = vec2(dot(p, ahead), dot(p, vec2(-ahead.y, ahead.x)));
        float leaf_reach = reach * (0.86 + 0.16 * fract(chance * 7.31));
        float sway = dot(wind, vec2(-ahead.y, ahead.x)) * 0.22 * frame.w + breeze * (chance - 0.5);
        float half_width = leaf_reach * min(slim, 0.92 * sin(min(sector * 0.5, 1.2)));
        leaf(q, middle, leaf_reach, half_width, tone * (0.90 + 0.2 * chance), ring, chance, sway);
    }
}

void main() {
    fine = frame.x;
    float radius = frame.y, grown = state.z, height = genes.z, withered = state.w, far = length(at);
    float turn = own.z * TURN;
    // the shadow: a star as large as the leaves; farther away and softer for tall plants
    vec2 cast_at = at - vec2(0.55, 0.83) * (0.05 + 0.30 * height * grown);
    float count = floor(5.0 + 3.4 * own.w - 1.5 * genes.y + 0.5), soft = 0.10 + 0.22 * height * grown;
    float star = radius * (0.76 + 0.12 * cos((atan(cast_at.y, cast_at.x) - turn) * count));
    canvas.a = 0.60 * (1.0 - smoothstep(-soft * 0.8, soft, length(cast_at) - star));
    canvas.a = max(canvas.a, 0.50 * (1.0 - smoothstep(0.3, 1.05, far / radius)));

    float value = (0.60 + 0.22 * grown) * (0.92 + 0.16 * own.z);
    vec3 tone = hsv(own.x + (own.w - 0.5) * 0.025, 0.60 - 0.14 * genes.x, value);
    tone = mix(tone, vec3(0.46, 0.33, 0.17) * (0.75 + 0.4 * own.w), withered * 0.85);
    vec2 lean = wind * (0.10 + 0.25 * height) * radius * frame.w;
    float slim = mix(0.40, 0.15, genes.y), share = 0.0, reach = radius, ring = 0.0;
    // inner rings are higher: brighter, and moved more by the wind. The loop ends when no further ring reaches this
    // pixel; most pixels are covered by one or two rings
    do {
        vec3 lit = tone * mix(vec3(0.30, 0.42, 0.52), vec3(1.05, 1.04, 0.98), share);
        lit += vec3(0.07, 0.05, 0.0) * share * (1.0 - withered);
        ring_of(at - lean * share, ring, max(4.0, count - (ring + 1.5 > float(RINGS) ? 1.0 : 0.0)), reach,
            slim * mix(1.0, 1.15, share), lit, turn + ring * 2.4);
        ring += 1.0;
        share = ring / float(RINGS - 1);
        reach = radius * mix(1.0, 0.47, share);
    } while (ring < float(RINGS) && length(at - lean * share) < reach * 1.06 + 0.06);
    vec2 middle = at - lean;
    vec3 heart = tone * 1.25 + vec3(0.16, 0.18, 0.10) * (1.0 - withered);
    over(heart, 0.75 * exp2(-dot(middle, middle) / (radius * radius * 0.008)));
    if (own.y > 0.5) {
        float halo = 0.70 * exp2(-abs(nearest - 0.03) * min(70.0, 0.7 * fine)) + 0.25 * exp2(-max(nearest, 0.0) * 10.0);
        canvas.rgb += vec3(1.0, 0.93, 0.65) * (halo * (1.0 - inside(nearest)) * (0.8 + 0.2 * sin(now_s * 4.0)));
    }

    vec2 rest = 1.0 - abs(at) / frame.z;
    colour_out = clamp(canvas, 0.0, 4.0) * (strength * smoothstep(0.0, 0.10, min(rest.x, rest.y)));
}
