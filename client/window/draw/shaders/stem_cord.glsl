// Draws a stem as a bent cord over its soft shadow; it is thicker at the older module. The inputs are those of
// stem_vertex.glsl.
#include "canvas.glsl"

flat in vec4 cord;
flat in vec4 tint;
flat in vec4 light;

// Returns the distance to the middle line, the position along it (0 at the younger module, 1 at the older), and the
// signed distance across.
vec3 line(vec2 p) {
    float t = clamp(p.x / cord.x, 0.0, 1.0);
    float path = cord.y * 2.0 * t * (1.0 - t), slope = cord.y * 2.0 * (1.0 - 2.0 * t) / cord.x;
    float off = (p.y - path) * inversesqrt(1.0 + slope * slope), past = p.x - t * cord.x;
    return vec3(length(vec2(past, off)), t, off);
}

void main() {
    fine = tint.z;
    vec3 shade = line(at + light.xy * light.w);
    vec3 found = line(at);
    float thick = mix(cord.z, cord.w, found.y * found.y), shade_thick = mix(cord.z, cord.w, shade.y);
    canvas.a = 0.50 * (1.0 - smoothstep(-0.02, 0.12, shade.x - shade_thick));
    vec3 tone = mix(hsv(tint.x, 0.55, 0.46), vec3(0.34, 0.22, 0.12), 0.35 + 0.35 * found.y + 0.3 * tint.y);
    float d = found.x - thick, side = clamp(found.z / thick, -1.0, 1.0);
    float nz = sqrt(max(0.0, 1.0 - side * side)), lit = clamp(nz * 0.75 + side * light.y * 0.65, 0.0, 1.0);
#if NEAR
    float thorny = smoothstep(0.30, 0.9, light.z), k = fract(found.y * 5.0 + tint.w);
    float jag = max(0.0, 1.0 - abs(k - 0.3) * 6.0);
    d -= thorny * jag * jag * 0.05;
    tone *= 0.90 + 0.18 * sin(found.y * 46.0 + tint.w * 9.0) * nz;
    tone = mix(tone, vec3(0.85, 0.55, 0.40), thorny * jag * smoothstep(0.0, 0.02, found.x - thick));
    over(vec3(0.01, 0.01, 0.0), (1.0 - smoothstep(0.0, 0.030, d)) * 0.55);
#endif
    vec3 colour = tone * (0.30 + 0.95 * lit) + vec3(0.5, 0.55, 0.4) * pow(lit, 12.0) * 0.22;
    over(colour, inside(d));
    colour_out = canvas * strength;
}
