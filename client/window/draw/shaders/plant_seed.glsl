#version 330
// Draws a seed: half buried, or flying with a tuft of hairs, with its shadow at a distance. The inputs are those of
// plant_quad.glsl.
#include "canvas.glsl"

flat in vec4 genes;
flat in vec4 state;
flat in vec4 own;
flat in vec4 frame;

void main() {
    fine = frame.x;
    float turn = own.z * 6.2831853, size = frame.y * (0.85 + 0.3 * own.w), aloft = own.y > 1.5 ? 1.0 : 0.0;
    float bob = sin(now_s * 2.1 + turn * 3.0) * aloft;
    vec2 p = at - vec2(0.02, -0.05) * bob * 0.6;
    vec2 below = at - vec2(0.55, 0.83) * mix(0.02, 0.34, aloft);
    canvas.a = mix(0.65, 0.42, aloft) * (1.0 - smoothstep(0.0, size * mix(1.35, 2.0, aloft), length(below)));
    float roll = turn + aloft * (now_s * 0.6);
    vec2 q = vec2(p.x * cos(roll) + p.y * sin(roll), -p.x * sin(roll) + p.y * cos(roll));
    if (aloft > 0.5) {
        float far = length(p), hairs = 13.0;
        float angle = atan(q.y, q.x) * hairs / 6.2831853, off = abs(fract(angle) - 0.5) * 6.2831853 / hairs * far;
        float crown = size * 2.3, hair = max(off - 0.006, far - crown);
        over(vec3(0.92, 0.95, 0.98), inside(hair) * 0.62);
        float tuft = length(vec2(off, far - crown)) - 0.022;
        over(vec3(1.0), inside(tuft) * 0.85);
        canvas.rgb += vec3(0.5, 0.6, 0.7) * 0.10 * exp2(-far * far / (crown * crown) * 2.0);
    }
    // a grain with a groove along it
    float point = length(vec2(q.x * 0.72, q.y * (1.25 + 0.35 * q.x / size))) - size * mix(0.72, 0.50, aloft);
    float depth = clamp(-point / (size * 0.6), 0.0, 1.0);
    vec3 husk = mix(vec3(0.66, 0.50, 0.28), hsv(own.x, 0.45, 0.7), 0.30) * (0.9 + 0.25 * own.w);
    float light = 0.45 + 0.75 * depth + 0.30 * clamp(dot(p, vec2(-0.55, -0.83)) / size, -1.0, 1.0);
    husk *= light * (1.0 - 0.45 * exp2(-q.y * q.y * 9000.0 * 0.04 / (size * size)));
    over(vec3(0.03, 0.02, 0.01), inside(point - 0.018) * 0.7);
    over(husk, inside(point));
    if (own.y > 0.5 && own.y < 1.5 || own.y > 2.5)
        canvas.rgb += vec3(1.0, 0.93, 0.65) * 0.6 * exp2(-abs(length(at) - size * 1.5) * 40.0);
    vec2 rest = 1.0 - abs(at) / frame.z;
    colour_out = clamp(canvas, 0.0, 4.0) * (strength * smoothstep(0.0, 0.12, min(rest.x, rest.y)));
}
