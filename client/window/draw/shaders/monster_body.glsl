// Draws a monster. Shapes are signed distances (negative inside) in units of the body length; x points to the head and
// y to the right. If NEAR is 0, fewer details are drawn, for bodies of few pixels. The inputs are those of
// monster_vertex.glsl.
#include "canvas.glsl"

flat in vec4 organs_a;
flat in vec4 organs_b;
flat in vec4 looks_a;
flat in vec4 looks_b;
flat in vec4 state;
flat in vec4 motion;
flat in vec4 frame;
flat in vec3 gaze;

const float PI = 3.14159265;
const float MELT = 56.0;  // the larger, the less smoothly segments are joined
const int MOST_SEGMENTS = 7;
#if NEAR
const int MOST_PAIRS = 6;
#else
const int MOST_PAIRS = 4;
#endif

// Returns the distance to a straight line from `a` to `b` whose radius changes from `thick` to `thin`, and in y the
// position along the line, 0 to 1.
vec2 stroke(vec2 p, vec2 a, vec2 b, float thick, float thin) {
    vec2 way = b - a;
    float share = clamp(dot(p - a, way) / max(dot(way, way), 1e-5), 0.0, 1.0);
    return vec2(length(p - a - way * share) - mix(thick, thin, share), share);
}

// Returns the radius of the body at a position from the head (0) to the tail (1).
float radius(float t) {
    float belly = 4.0 * t * (1.0 - t);
    float rear = smoothstep(0.30, 0.75, t) * (1.0 - smoothstep(0.80, 1.30, t));
    float wide = 0.100 + 0.030 * belly + 0.010 * organs_a.y * belly + (0.014 * organs_b.z + 0.042 * looks_b.y) * rear;
    return min(wide, 0.215) + 0.036 * (1.0 - smoothstep(0.0, 0.22, t)) - 0.02 * smoothstep(0.75, 1.0, t);
}

// The functions below draw one part of the body at the point `p` each, in the colour `tone`.
void legs(vec2 p, vec3 tone) {
    float side = sign(p.y), count = min(organs_a.z, float(MOST_PAIRS));
    vec2 q = vec2(p.x, abs(p.y));
    float nearest = 1.0, along = 0.0;
    for (int i = 0; i < MOST_PAIRS; i++) {
        if (float(i) >= count) break;
        float t = (float(i) + 0.5) / count;
        float phase = motion.x + PI * float(i & 1) + (side > 0.0 ? PI : 0.0);
        float swing = sin(phase) * 0.055, lift = max(0.0, cos(phase)) * min(1.0, state.w * 6.0);
        float root = mix(0.17, -0.27, t), splay = mix(0.12, -0.13, t);
        vec2 foot = vec2(root + splay + swing, 0.355 - 0.045 * lift);
        foot.x *= mix(1.0, 0.8, state.y);
        foot.y -= 0.07 * state.y;
#if NEAR
        vec2 knee = vec2(root + splay * 0.35 + swing * 0.45 + 0.045, 0.235 - 0.02 * lift);
        vec2 upper = stroke(q, vec2(root, 0.06), knee, 0.022, 0.017);
        vec2 lower = stroke(q, knee, foot, 0.016, 0.008);
        vec2 found = lower.x < upper.x ? vec2(lower.x, 0.5 + 0.5 * lower.y) : vec2(upper.x, 0.5 * upper.y);
#else
        vec2 found = stroke(q, vec2(root, 0.06), foot, 0.021, 0.012);
#endif
        if (found.x < nearest) { nearest = found.x; along = found.y; }
    }
#if NEAR
    over(vec3(0.0), 0.30 * (1.0 - smoothstep(0.0, 0.05, nearest)));
#endif
    float round_ = clamp(-nearest / 0.016, 0.0, 1.0);
    over(tone * (0.42 + 0.50 * round_) * (1.0 - 0.45 * along), inside(nearest));
}

void spikes(vec2 p, vec3 tone) {
    vec2 q = vec2(p.x, abs(p.y));
    float count = min(organs_b.y, 6.0), nearest = 1.0, along = 0.0;
    for (int i = 0; i < 6; i++) {
        if (float(i) >= count) break;
        float t = (float(i) + 0.5) / count, root = mix(0.12, -0.36, t), wide = radius((0.30 - root) / 0.70);
        vec2 found = stroke(q, vec2(root + 0.02, wide * 0.7), vec2(root - 0.075, wide + 0.105), 0.030, -0.002);
        if (found.x < nearest) { nearest = found.x; along = found.y; }
    }
    float tail = count > 0.0 ? 1.0 : 0.0;
    vec2 found = stroke(q, vec2(-0.40, 0.0), vec2(-0.58 - 0.01 * count, 0.0), 0.034, 0.0);
    if (tail > 0.0 && found.x < nearest) { nearest = found.x; along = found.y; }
    float lit = clamp(-nearest / 0.02, 0.0, 1.0);
    vec3 bone = mix(tone * 0.55, vec3(0.98, 0.92, 0.80), smoothstep(0.15, 0.8, along));
    over(vec3(0.01, 0.01, 0.02), (1.0 - smoothstep(0.0, 0.014, nearest)) * 0.45);
    over(bone * (0.60 + 0.45 * lit), inside(nearest));
}

// The antennae, with tips in the colour `glow`; `clock` is the time in seconds, with an offset of the being.
void feelers(vec2 p, vec3 tone, vec3 glow, float clock) {
    float long_ = 0.22;
    float side = sign(p.y), sway = sin(clock * 2.1 + side * 0.7) * (0.03 + 0.05 * state.w) * (1.0 - 0.7 * state.y);
    vec2 q = vec2(p.x - 0.37, abs(p.y) - 0.055);
    float t = clamp(q.x / long_, 0.0, 1.0), spread = 0.55 + sway * side;
    float path = long_ * spread * t * (0.55 + 0.45 * t), slope = spread * (0.55 + 0.9 * t);
    float line = length(vec2(max(max(-q.x, q.x - long_), 0.0), (q.y - path) * inversesqrt(1.0 + slope * slope)));
    over(tone * 0.75, inside(line - mix(0.014, 0.008, t)));
    float tip = length(q - vec2(long_, long_ * spread)) - 0.026 - 0.008 * looks_b.x;
    over(glow * (0.75 + 0.5 * clamp(-tip / 0.03, 0.0, 1.0)), inside(tip));
#if NEAR
    canvas.rgb += glow * (0.30 * looks_b.x * exp2(-max(tip, 0.0) * 34.0));
#endif
}

// The jaws; `head` is the radius of the head.
void jaws(vec2 p, float head) {
    float count = organs_a.x, fangs = looks_a.w, big = (0.055 + 0.013 * min(count, 5.0)) * mix(0.8, 1.25, fangs);
    vec2 q = vec2(p.x - 0.30 - head * 0.80, abs(p.y) - 0.35 * big - 0.012);
    float turn = gaze.z * 0.75 - 0.10;
    q = vec2(q.x * cos(turn) + q.y * sin(turn), -q.x * sin(turn) + q.y * cos(turn));
    q /= big;
    // a sickle, a disc from which another disc is cut out; thin for jaws that tear, broad for jaws that grind
    float sickle = max(length(q - vec2(0.62, 0.0)) - 0.86, mix(0.62, 0.84, fangs) - length(q - vec2(0.50, -0.36)));
    sickle = max(sickle, -q.y - 0.55) * big;
    float lit = clamp(-sickle / (0.14 * big), 0.0, 1.0), tip = clamp(q.x * 0.7, 0.0, 1.0);
    float there = count > 0.0 ? 1.0 : 0.0;
    over(vec3(0.02, 0.01, 0.02), inside(sickle - 0.009) * 0.7 * there);
    over(mix(vec3(0.62, 0.42, 0.26), vec3(1.0, 0.95, 0.84), tip) * (0.62 + 0.42 * lit), inside(sickle) * there);
}

// The eyes: one per eye organ. Eyes do not overlap, so only the one nearest to `p` is drawn.
void eyes(vec2 p, vec3 tone, vec3 lid_tone, float hue) {
    float count = organs_a.w, side = p.y < 0.0 ? -1.0 : 1.0, pairs = floor(count * 0.5);
    bool odd = count - 2.0 * pairs > 0.5;
    vec2 q = vec2(p.x, abs(p.y)), middle = vec2(0.0);
    float big = 0.0, nearest = 9.0;
    vec3 found[4] = vec3[4](
        vec3(0.335, 0.087, 0.070 + 0.006 * min(count, 4.0)), vec3(0.435, 0.046, 0.036),
        vec3(0.235, 0.128, 0.040), vec3(0.445, 0.112, 0.026));
    for (int i = 0; i < 4; i++) {
        if (float(i) >= pairs) break;
        float distance = length(q - found[i].xy) - found[i].z;
        if (distance < nearest) { nearest = distance; middle = vec2(found[i].x, found[i].y * side); big = found[i].z; }
    }
    if (odd) {
        vec3 single = pairs < 0.5 ? vec3(0.335, 0.0, 0.104) : vec3(0.243, 0.0, 0.046);
        float distance = length(p - single.xy) - single.z;
        if (distance < nearest) { nearest = distance; middle = single.xy; big = single.z; }
    }
    if (count < 0.5) {  // blind: two dimples
        nearest = length(q - vec2(0.355, 0.068)) - 0.026;
        over(vec3(0.02, 0.02, 0.04), inside(nearest - 0.004) * 0.9);
        over(vec3(0.75, 0.8, 0.9), inside(length(p - vec2(0.355, 0.068 * side) - frame.xy * 0.010) - 0.007) * 0.8);
        return;
    }
    vec2 r = (p - middle) / big;
    float white = inside(nearest), l = length(r);
#if NEAR
    over(vec3(0.015, 0.01, 0.03), (1.0 - smoothstep(-0.01, 0.026, nearest)) * 0.75);
    vec2 look = gaze.xy * vec2(0.45, 0.42);
    float ball = clamp(1.06 - 0.30 * l * l * l - 0.10 * dot(r, -frame.xy), 0.0, 1.1);
    over(vec3(0.97, 0.98, 0.95) * ball, white);
    float iris = (length(r - look) - 0.66) * big, pupil = (length(r - look * 1.08) - 0.44) * big;
    vec3 tint = hsv(hue + 0.42, 0.62, 0.86);
    float rays = 0.85 + 0.15 * sin(atan(r.y - look.y, r.x - look.x) * 18.0);
    over(tint * rays * (0.55 + 0.55 * smoothstep(0.25, 0.62, length(r - look))), inside(iris) * white);
    over(vec3(0.03, 0.015, 0.05), inside(iris) * (1.0 - inside(iris + 0.07 * big)) * white * 0.8);
    over(vec3(0.012, 0.01, 0.025), inside(pupil) * white);
    float spark = (length(r - look - frame.xy * 0.30) - 0.17) * big;
    float spark_2 = (length(r - look + frame.xy * 0.26) - 0.085) * big;
    over(vec3(1.25), inside(spark) * white);
    over(vec3(0.9), inside(spark_2) * white * 0.7);
#else
    over(vec3(0.02, 0.015, 0.03), inside(nearest - 0.022) * 0.8);
    over(vec3(0.97, 0.98, 0.95), white);
    over(vec3(0.012, 0.01, 0.025), inside((length(r - gaze.xy * 0.4) - 0.52) * big) * white);
#endif
    // the lid covers the eye from behind, with a curved edge; the more the jaws tear (fangs), the more it slants
    float lid = state.x, brow = 1.8 * smoothstep(0.35, 0.8, looks_a.w) * (1.0 - lid), bow = 1.0 - r.y * r.y;
    float edge = mix(-1.15, 0.12, lid) + brow * (0.36 - 0.24 * r.y * side) + 0.34 * bow * (2.0 * lid - 1.0);
    float line = r.x - edge, dome = clamp(1.05 - 0.55 * l * l + 0.25 * dot(r, frame.xy), 0.0, 1.3);
    float covered = max(inside(line * big), smoothstep(0.85, 1.0, lid));
    over(lid_tone * (0.30 + 0.66 * dome), covered * white);
    float crease = abs(line) - 0.07 - 0.05 * smoothstep(0.8, 1.0, lid);
    over(vec3(0.02, 0.01, 0.03), inside(crease * big) * white * smoothstep(0.02, 0.15, lid + brow) * 0.92);
#if NEAR
    // lashes of a shut eye
    float lashes = max(abs(fract(r.y * 2.5) - 0.5) * 0.4 - 0.05, abs(line - 0.15) - 0.17);
    over(vec3(0.02, 0.01, 0.03), inside(lashes * big) * white * smoothstep(0.9, 1.0, lid) * step(abs(r.y), 0.8) * 0.85);
#endif
}

// Returns the colour of the skin: `tone` with a pattern in the colour `accent`.
vec3 skin(vec2 p, vec3 tone, vec3 accent, float thick) {
    float pattern = looks_a.z, w = abs(p.y);
    // with a growing `pattern`: a plain back, bands, spots
    float bands = 0.5 + 0.5 * sin(p.x * (24.0 + 26.0 * pattern) + w * 9.0 + frame.w * 6.28);
    bands = smoothstep(0.45, 0.75, bands) * smoothstep(0.12, 0.32, pattern) * (1.0 - smoothstep(0.58, 0.74, pattern));
    vec2 grid = vec2(p.x * 11.0 + frame.w * 5.0, w * 11.0), cell = floor(grid);
    vec2 jitter = vec2(hash2(cell), hash2(cell + 7.3)) - 0.5;
    float spot = length(fract(grid) - 0.5 - jitter * 0.35) - 0.20 - 0.16 * hash2(cell + 3.1);
    float spots = (1.0 - smoothstep(-0.08, 0.06, spot)) * smoothstep(0.58, 0.74, pattern);
    float back = (1.0 - smoothstep(0.0, 0.055, w)) * (1.0 - smoothstep(0.10, 0.30, pattern)) * 0.5;
    float marked = max(max(bands * 0.75, spots * 0.9), back);
    return mix(tone, accent, marked * (1.0 - smoothstep(0.20, 0.34, p.x)));
}

// The armour plates; `n` and `nz` are the surface normal, `light` the direction to the light.
void plates(vec2 p, float nz, vec3 tone, vec2 n, vec3 light) {
    float count = organs_b.x, reach = mix(0.24, -0.44, clamp(count / 5.0, 0.0, 1.0));
    float row = (0.25 - p.x - p.y * p.y * 1.6) / 0.115, part = fract(row);
    float rows = floor((0.31 - reach) / 0.115);
    float there = clamp(min(row, rows - row) * fine * 0.115 + 0.5, 0.0, 1.0) * smoothstep(0.34, 0.44, nz);
    if (count < 0.5) there = 0.0;
    float sheen = pow(max(dot(normalize(vec3(n + vec2(0.5 - part, 0.0) * 0.7, nz + 0.2)), light), 0.0), 14.0);
    vec3 metal = mix(vec3(0.36, 0.37, 0.43), tone * 0.55, 0.35);
    vec3 plate = metal * (0.45 + 0.65 * nz) * mix(1.15, 0.55, part) + vec3(0.85, 0.9, 1.0) * sheen * 0.55;
    float pixel = min(1.0 / (fine * 0.115), 0.5), lip = smoothstep(0.0, 1.5 * pixel, part);
    plate *= (1.0 - 0.75 * smoothstep(0.80, 0.97, part)) * mix(0.25, 1.0, lip);
    plate += 0.20 * lip * (1.0 - smoothstep(0.04, 0.04 + max(0.08, pixel), part));
    over(plate, there * 0.92 * canvas.a);
}

void main() {
    fine = frame.z;
    vec2 p = at;
    // the body is bent behind the head, and undulates a little while walking
    float behind = min(p.x - 0.22, 0.0);
    p.y += motion.y * behind * behind + sin(motion.x * 0.5 - p.x * 7.0) * 0.030 * behind * min(1.0, state.w * 4.0);
    p.y *= inversesqrt(1.0 + 4.0 * motion.y * motion.y * behind * behind);
    float asleep = state.y, fed = clamp(looks_b.z, 0.0, 1.0), clock = now_s + frame.w * 100.0;

    vec3 tone = hsv(looks_a.x, 0.68 + 0.20 * (looks_a.y - 0.5), 1.0 - 0.22 * looks_a.y);
    vec3 accent = hsv(looks_a.x + 0.09, 0.38, 1.0), glow = hsv(looks_a.x + 0.04, 0.55, 1.0);
    float grey = dot(tone, vec3(0.3, 0.5, 0.2)), dim = 0.55 + 0.45 * smoothstep(0.0, 0.8, fed);
    tone = mix(vec3(grey), tone, 0.55 + 0.45 * smoothstep(0.0, 0.6, fed)) * dim;
    tone = mix(tone, vec3(1.0, 0.16, 0.10), looks_b.w * (0.45 + 0.35 * sin(clock * 14.0)));

    // a soft shadow on the side away from the light
    vec2 s = p + frame.xy * 0.075;
    float shade = length(vec2(max(abs(s.x + 0.05) - 0.30, 0.0), s.y)) - 0.13;
    canvas.a = 0.62 * (1.0 - smoothstep(-0.06, 0.17, shade));
    float gland = min(organs_b.w, 4.0), shines = looks_b.x * (0.35 + 0.30 * gland);
    float far = length(vec2(max(abs(p.x + 0.05) - 0.26, 0.0), p.y)) - 0.12;
    canvas.rgb += glow * (shines * 0.20 * (0.85 + 0.15 * sin(clock * 1.7)) * exp2(-max(far, 0.0) * 13.0));

    legs(p, tone);
#if NEAR
    spikes(p, tone);
#endif
    float head = radius(0.0);
    feelers(p, tone, mix(accent, glow, 0.5), clock);
    jaws(p, head);

    // the body: segments, joined by a smooth minimum of their distances
    float sum = 0.0, most = 0.0, count = min(motion.z, float(MOST_SEGMENTS));
    vec2 bulge = vec2(0.0);
    for (int i = 0; i < MOST_SEGMENTS; i++) {
        if (float(i) >= count) break;
        float t = min(float(i) / (count - 1.0), 1.0);
        float wide = radius(t) * mix(0.5, 1.0, clamp(count - float(i), 0.0, 1.0));
        wide *= i == 1 ? 0.90 : 1.0;  // a neck
        vec2 q = p - vec2(mix(0.30, -0.37, t), 0.0);
        float weight = exp2(-MELT * (length(q) - wide));
        sum += weight;
        most = max(most, weight);
        bulge += weight * q / (wide + 0.012);
    }
    if (gland > 0.0) {  // a glowing organ at the tail
        float wide = 0.042 + 0.010 * gland;
        vec2 q = p - vec2(-0.50, 0.0);
        float weight = exp2(-MELT * 1.4 * (length(q) - wide));
        sum += weight;
        most = max(most, weight);
        bulge += weight * q / wide;
    }
    sum = max(sum, 1e-12);
    float distance = -log2(sum) / MELT;
    vec2 n = bulge / sum;
    float flat_ = dot(n, n), nz = sqrt(max(0.0, 1.0 - min(flat_, 1.0)));
    n *= inversesqrt(max(1.0, flat_));
    vec3 light = normalize(vec3(frame.xy * 0.75, 0.95));
    float lit = max(dot(vec3(n, nz), light), 0.0);

    over(vec3(0.01, 0.01, 0.025), (1.0 - smoothstep(0.0, 0.030, distance)) * 0.65);
    vec3 colour = skin(p, tone, accent * dim, distance);
    float abdomen = (1.0 - smoothstep(-0.10, 0.10, p.x)) * looks_b.y;
    colour = mix(colour, accent * 1.08, abdomen * 0.38 * nz);
#if NEAR
    float grain = noise(p * 46.0 + frame.w * 40.0) * 0.6 + noise(p * 120.0) * 0.4;
    colour *= 0.88 + 0.24 * grain;
#endif
    colour *= 1.0 - 0.46 * smoothstep(0.06, 0.5, 1.0 - most / sum);
    colour *= 0.30 + 0.85 * lit;
    float rim = (1.0 - nz) * (1.0 - nz);
    colour += (accent * 0.6 + vec3(0.05, 0.10, 0.18)) * rim * 0.30 * (0.4 + max(dot(n, frame.xy), 0.0));
    vec3 half_way = normalize(light + vec3(0.0, 0.0, 1.0));
    float spec = max(dot(vec3(n, nz), half_way), 0.0);
    spec *= spec; spec *= spec; spec *= spec; spec *= spec;
    colour += vec3(1.0, 0.98, 0.92) * (spec * spec * 0.42 + spec * 0.12) * (1.0 - 0.55 * asleep) * (0.5 + 0.5 * dim);
    over(colour, inside(distance));
#if NEAR
    plates(p, nz * inside(distance), tone, n, light);
    if (gland > 0.0) {
        float lantern = length(p - vec2(-0.50, 0.0)), pulse = 0.7 + 0.3 * sin(clock * 2.3);
        float burns = 0.55 * exp2(-lantern * 34.0) + 0.9 * exp2(-lantern * 90.0);
        canvas.rgb += glow * ((0.35 + looks_b.x) * pulse * burns);
        // small lights along the flanks
        float grid = (p.x + 0.30) / 0.10, k = floor(grid + 0.5), t = clamp((0.30 - (k * 0.10 - 0.30)) / 0.67, 0.0, 1.0);
        float there = step(0.0, k) * step(k, min(gland, 4.0));
        float spot = length(vec2((grid - k) * 0.10, abs(p.y) - radius(t) * 0.72));
        canvas.rgb += glow * (there * (0.25 + looks_b.x) * pulse * exp2(-spot * spot * 5200.0));
    }
#endif
#if NEAR
    if (organs_a.x < 0.5) {  // no jaws: a small mouth
        float mouth = abs(p.x - 0.30 - head * 0.80 + p.y * p.y * 5.0) - 0.006;
        over(vec3(0.03, 0.01, 0.03), inside(max(mouth, abs(p.y) - 0.036)) * 0.75 * inside(distance));
    }
#endif
    eyes(p, tone, tone, looks_a.x);
    if (state.z > 0.5) {
        float halo = 0.75 * exp2(-abs(distance - 0.022) * min(110.0, 0.7 * fine));
        halo += 0.30 * exp2(-max(distance, 0.0) * 15.0);
        canvas.rgb += vec3(1.0, 0.93, 0.65) * (halo * 1.15 * (1.0 - inside(distance)) * (0.8 + 0.2 * sin(now_s * 4.0)));
    }

    // fade out at the quad's edges
    vec2 rest = 1.0 - abs(at - vec2(0.06, 0.0)) / vec2(0.92, 0.70);
    float edge = smoothstep(0.0, 0.12, min(rest.x, rest.y));
    colour_out = clamp(canvas, 0.0, 4.0) * (strength * edge);
}
