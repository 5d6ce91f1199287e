#version 330
// Composes planes, each over its own rectangle, into three textures over one rectangle, from which the ground is drawn.
in vec2 uv;
uniform vec2 extent;  // width and height of the output in cells
// location of each plane: xy is its corner in cells from the output's corner, zw is 1 / its width and height in cells
uniform vec4 place_elevation, place_water, place_detritus, place_aroma, place_musk, place_alarm;
uniform vec4 place_light, place_temperature, place_rain, place_cover, place_before;
uniform sampler2D elevation, water, detritus, aroma, musk, alarm, light, temperature, rain, cover;
uniform sampler2D before_a, before_b, before_c;  // the previous output
uniform float step_cells; // cells per value of the output
uniform vec4 heights;     // elevation: lowest, 1 / range; water: what the soil holds, 1 / depth of deep water
uniform vec4 strengths;   // 1 / high value of detritus, scents, light, cover
uniform float cover_low;  // lowest value of cover
uniform float ease;       // weight of the new values against the previous output, 0 to 1
layout(location = 0) out vec4 lie;   // depth, moisture, elevation, slope
layout(location = 1) out vec4 smell; // aroma, musk, alarm, detritus
layout(location = 2) out vec4 sky;   // light, temperature (degrees), rain, cover

// Converts a position in cells from the output's corner to texture coordinates of a plane.
vec2 spot(vec4 place, vec2 p) { return (p - place.xy) * place.zw; }

void main() {
    vec2 p = vec2(uv.x, uv.y) * extent;
    vec2 d = vec2(1.3 * step_cells, 0.0);
    float east = texture(elevation, spot(place_elevation, p + d.xy)).r;
    float west = texture(elevation, spot(place_elevation, p - d.xy)).r;
    float south = texture(elevation, spot(place_elevation, p + d.yx)).r;
    float north = texture(elevation, spot(place_elevation, p - d.yx)).r;
    float height = (0.25 * (east + west + south + north) - heights.x) * heights.y;
    float slope = (east - west + south - north) * heights.y / (2.6 * pow(step_cells, 0.75)) * 22.0;
    float here = texture(water, spot(place_water, p)).r;
    vec2 q = vec2(0.8, -0.8) * step_cells;
    float around = texture(water, spot(place_water, p + q.xx)).r + texture(water, spot(place_water, p + q.xy)).r
        + texture(water, spot(place_water, p + q.yx)).r + texture(water, spot(place_water, p + q.yy)).r;
    float moisture = heights.z > 0.0 ? clamp((here + around) * 0.2 / heights.z, 0.0, 1.0) : 0.3;
    float depth = heights.z > 0.0 ? clamp((here - heights.z) * heights.w, 0.0, 1.0) : 0.0;
    lie = vec4(depth, moisture, clamp(height, 0.0, 1.0), clamp(slope, -2.0, 2.0));
    smell = vec4(
        texture(aroma, spot(place_aroma, p)).r, texture(musk, spot(place_musk, p)).r,
        texture(alarm, spot(place_alarm, p)).r, texture(detritus, spot(place_detritus, p)).r);
    smell = clamp(smell * strengths.yyyx, 0.0, 1.0);
    sky = vec4(
        texture(light, spot(place_light, p)).r * strengths.z, texture(temperature, spot(place_temperature, p)).r * 0.01,
        texture(rain, spot(place_rain, p)).r / 1024.0,
        clamp((texture(cover, spot(place_cover, p)).r - cover_low) * strengths.w, 0.0, 1.0));
    vec2 was = spot(place_before, p);
    float share = all(lessThan(abs(was - 0.5), vec2(0.5))) ? ease : 1.0;
    lie = mix(texture(before_a, was), lie, share);
    smell = mix(texture(before_b, was), smell, share);
    sky = mix(texture(before_c, was), sky, share);
}
