#version 330
// A quad around a monster, rotated to its heading. The packed attributes (see draw/monsters.py) are unpacked for
// monster_body.glsl.
#include "common.glsl"

in vec2 in_corner;  // corner of the quad, -1 to 1
in vec4 in_way;     // position in the previous tick (x, y), position (x, y)
in vec4 in_turn;    // heading in the previous tick, heading, time at which the movement began, body length in cells
in vec4 in_walk;    // distance walked until the previous tick and until now, in cells; bend in the previous tick, bend
in uvec4 in_looks;  // organs, colours, states and flags, packed
in uint in_own;     // hash of the being's id

out vec2 at;             // position in body lengths: x to the head, y to the right
flat out vec4 organs_a;  // numbers of organs: jaw, gut, leg, eye
flat out vec4 organs_b;  // numbers of organs: armour, spike, store, gland
flat out vec4 looks_a;   // hue, shade, pattern, fangs
flat out vec4 looks_b;   // glow, fullness, fed, pain
flat out vec4 state;     // eyelid (0 open, 1 shut), asleep, highlighted, speed
flat out vec4 motion;    // phase of the legs in radians, bend, number of segments, breath (-1 to 1)
flat out vec4 frame;     // direction to the light (x, y), pixels per body length, a random number of the being (0 to 1)
flat out vec3 gaze;      // direction of the eyes (x, y), opening of the jaws (0 to 1)

const vec2 REACH = vec2(0.92, 0.70);
const float STRIDE_CELLS = 0.55;

float byte(uint word, int at) { return float((word >> uint(8 * at)) & 255u) / 255.0; }
float nibble(uint word, int at) { return float((word >> uint(4 * at)) & 15u); }

void main() {
    float passed = now_s - in_turn.z;
    float share = passed < 0.0 ? 1.0 : clamp(passed / max(glide_s, 1e-4), 0.0, 1.0);
    vec2 middle = mix(in_way.xy, in_way.zw, share);
    float turn = in_turn.y - in_turn.x;
    turn -= 6.2831853 * floor(turn / 6.2831853 + 0.5);
    float heading = in_turn.x + turn * share;
    vec2 ahead = vec2(cos(heading), sin(heading));

    uint o = in_looks.x;
    organs_a = vec4(nibble(o, 0), nibble(o, 1), nibble(o, 2), nibble(o, 3));
    organs_b = vec4(nibble(o, 4), nibble(o, 5), nibble(o, 6), nibble(o, 7));
    float hue = float(in_looks.y & 65535u) / 65535.0;
    looks_a = vec4(hue, byte(in_looks.y, 2), byte(in_looks.y, 3), byte(in_looks.z, 0));
    float pain = byte(in_looks.w, 1);
    looks_b = vec4(byte(in_looks.z, 1), byte(in_looks.z, 2), byte(in_looks.z, 3), pain);
    uint flags = in_looks.w >> 24u;
    float asleep = float(flags & 1u), shut = float((flags >> 1u) & 1u), was_shut = float((flags >> 3u) & 1u);
    float own = float(in_own & 65535u) / 65535.0;
    float other = float(in_own >> 16u) / 65535.0;

    float fatigue = byte(in_looks.w, 0);
    float lid = max(mix(was_shut, shut, share), smoothstep(0.25, 0.9, fatigue) * 0.55);
    float speed = byte(in_looks.w, 2);
    state = vec4(lid, asleep, float((flags >> 2u) & 1u), speed);

    float clock = now_s + own * 100.0;
    float breath = sin(clock * mix(2.4, 1.3, asleep) + other * 6.28);
    float size = in_turn.w * (1.0 + breath * mix(0.006, 0.028, asleep));
    float segments = clamp(3.0 + (in_turn.w - 1.2) * 3.0, 3.0, 6.6);
    float bend = mix(in_walk.z, in_walk.w, share) * -2.2;  // the tail lags behind a turn
    bend += asleep * (own < 0.5 ? -1.0 : 1.0) * (0.75 + 0.25 * other);
    float phase = mix(in_walk.x, in_walk.y, share) / STRIDE_CELLS * 6.2831853;
    motion = vec4(phase, clamp(bend, -1.1, 1.1), segments, breath);

    // the eyes keep a direction for a while, then change it quickly
    float beat = clock * 0.45 + own * 17.0, rest = floor(beat), eased = smoothstep(0.0, 0.12, fract(beat));
    vec2 from = vec2(hash(rest + own * 91.0 - 1.0), hash(rest * 1.7 + own * 57.0 - 1.7)) - 0.5;
    vec2 to = vec2(hash(rest + own * 91.0), hash(rest * 1.7 + own * 57.0)) - 0.5;
    vec2 glance = mix(from, to, eased) * vec2(0.75, 1.5) + vec2(0.5, turn * 1.5);
    float bites = 0.5 + 0.5 * sin(clock * mix(1.1, 5.0, speed));
    // jaws move less while the being runs
    float works = (1.0 - asleep) * mix(0.85, 0.45, smoothstep(0.0, 0.15, speed));
    gaze = vec3(clamp(glance, -0.8, 0.8), mix(0.25, bites, works));

    vec2 lit = vec2(-0.55, -0.83);
    frame = vec4(dot(lit, ahead), dot(lit, vec2(-ahead.y, ahead.x)), max(scale * size, 1.0), own);
    at = in_corner * REACH + vec2(0.06, 0.0);
    vec2 turned = at.x * ahead + at.y * vec2(-ahead.y, ahead.x);
    gl_Position = clip(middle + turned * size);
}
