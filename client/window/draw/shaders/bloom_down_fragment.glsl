#version 330
// One step of the bloom: the bright parts of `source`, at half its size or less.
in vec2 uv;
uniform sampler2D source;
uniform vec2 texel;       // 1 / size of the source
uniform float threshold;  // brightness below which nothing is kept
out vec4 colour;
vec3 lit(vec2 p) {
    vec3 c = texture(source, p).rgb;
    // replace NaN and infinity by 0: the blur would spread a single such pixel over the window
    c = clamp(mix(vec3(0.0), c, vec3(lessThan(abs(c), vec3(1e4)))), 0.0, 8.0);
    float most = max(c.r, max(c.g, c.b));
    return c * clamp((most - threshold) / max(most, 1e-4), 0.0, 1.0);
}
void main() {
    colour = vec4(0.25 * (lit(uv + texel * vec2(-1, -1)) + lit(uv + texel * vec2(1, -1))
        + lit(uv + texel * vec2(-1, 1)) + lit(uv + texel * vec2(1, 1))), 1.0);
}
