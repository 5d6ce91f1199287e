#version 330
// One step of the bloom: `source`, blurred, to be added to the next larger texture.
in vec2 uv;
uniform sampler2D source;
uniform vec2 texel;   // 1 / size of the source
uniform float share;  // factor of the result
out vec4 colour;
void main() {
    vec3 c = texture(source, uv).rgb * 2.0;
    c += texture(source, uv + texel * vec2(1.5, 0.0)).rgb + texture(source, uv - texel * vec2(1.5, 0.0)).rgb;
    c += texture(source, uv + texel * vec2(0.0, 1.5)).rgb + texture(source, uv - texel * vec2(0.0, 1.5)).rgb;
    c += texture(source, uv + texel).rgb + texture(source, uv - texel).rgb;
    c += texture(source, uv + texel * vec2(1, -1)).rgb + texture(source, uv + texel * vec2(-1, 1)).rgb;
    colour = vec4(c * (share / 10.0), 1.0);
}
