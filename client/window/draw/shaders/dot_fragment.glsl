#version 330
// Draws one dot: a plant as a rosette of leaves, any other being as a shining disc.
in vec4 tint;         // rgb colour, a opacity
in float turned;      // angle of the rosette in radians
in float leaves;      // number of leaves
in float pixels_wide; // diameter in pixels
uniform float plants; // 1: the dots are plants
out vec4 colour;
void main() {
    vec2 p = gl_PointCoord * 2.0 - 1.0;
    float far = length(p), soft = 2.2 / pixels_wide;
    float lit = dot(p, vec2(-0.5, -0.5));
    if (plants > 0.5) {
        float shape = smoothstep(5.0, 9.0, pixels_wide);
        float angle = atan(p.y, p.x) + turned;
        float leaf = abs(cos(angle * leaves * 0.5));
        float edge = mix(0.88, 0.52 + 0.42 * leaf, shape);
        float cover = mix(exp(-far * far * 2.6) * (1.0 - smoothstep(0.7, 1.0, far)) * 0.72,
            (1.0 - smoothstep(edge - soft, edge + soft * 0.4, far)) * 0.88, shape);
        float shade = 0.62 + 0.5 * (1.0 - far) + 0.25 * lit + shape * 0.22 * (leaf - 0.5);
        float heart = exp(-far * far * 14.0) * 0.35 * shape;
        float shadow = (1.0 - smoothstep(edge, edge + 0.35, far)) * 0.35 * shape;
        colour = vec4(tint.rgb * (shade + heart) * cover, max(cover, shadow)) * tint.a;
    } else {
        float core = 1.0 - smoothstep(0.50 - soft, 0.50 + soft * 0.5, far);
        float glow = exp(-far * far * 4.2) * (1.0 - smoothstep(0.8, 1.0, far));
        float spark = exp(-dot(p + 0.16, p + 0.16) * 30.0);
        vec3 body = tint.rgb * (0.80 + 0.7 * lit + 0.25 * (0.5 - far)) + spark * 0.45;
        colour = vec4(mix(tint.rgb * glow * 0.75, body, core), max(core, glow * 0.25)) * tint.a;
    }
}
