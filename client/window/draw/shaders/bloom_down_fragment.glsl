#version 330
in vec2 uv;
uniform sampler2D source;
uniform vec2 texel;
uniform float threshold;
out vec4 colour;
vec3 lit(vec2 p) {
    vec3 c = texture(source, p).rgb;
    // a single NaN pixel would black out the window through the bloom
    c = clamp(mix(vec3(0.0), c, vec3(lessThan(abs(c), vec3(1e4)))), 0.0, 8.0);
    float most = max(c.r, max(c.g, c.b));
    return c * clamp((most - threshold) / max(most, 1e-4), 0.0, 1.0);
}
void main() {
    colour = vec4(0.25 * (lit(uv + texel * vec2(-1, -1)) + lit(uv + texel * vec2(1, -1))
        + lit(uv + texel * vec2(-1, 1)) + lit(uv + texel * vec2(1, 1))), 1.0);
}
