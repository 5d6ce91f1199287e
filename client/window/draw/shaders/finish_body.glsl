// The last step of drawing: weather (if WEATHER is defined), wisps in the wind (if WIND is defined), bloom, tone
// mapping, vignette and dither.
#include "ground_shared.glsl"
in vec2 at;  // cells (right, down) from the middle of the window
in vec2 uv;  // position in the window, 0 to 1
out vec4 colour;
uniform sampler2D picture, glow;  // the scene, and its bright parts, blurred
uniform float bloom;              // factor of the bloom
uniform vec2 viewport;            // pixels
uniform float seconds;

// Replaces NaN and infinity by 0, and limits a colour.
vec3 sound(vec3 c) { return clamp(mix(vec3(0.0), c, vec3(lessThan(abs(c), vec3(1e4)))), 0.0, 16.0); }

#ifdef WEATHER
uniform sampler2D sky_plane;  // light, temperature (degrees), rain, cover
uniform vec2 ground_wraps;    // see `spot_in`
uniform vec4 ground_place;    // see `spot_in`
uniform vec2 drift;           // distance in cells by which the wind has moved the rain
uniform float windy;          // strength of the wind, 0 to 1
uniform float strength;       // strength of the weather, 0 to 1
uniform float pixels;         // pixels per cell

// Returns a colour as lit by the sun; nights are not so dark that nothing can be seen.
vec3 lit(vec3 c, vec4 sky) {
    float sun = clamp(sky.x, 0.0, 1.0), day = smoothstep(-0.06, 0.62, sun);
    float dusk = smoothstep(0.0, 0.22, sun) * (1.0 - smoothstep(0.14, 0.66, sun));
    float grey = dot(c, vec3(0.25, 0.6, 0.15));
    // when zoomed out, nights are less dark, because the view then has both day and night
    float deep = mix(0.55, 1.0, smoothstep(2.0, 9.0, pixels));
    vec3 night = mix(c, vec3(grey), 0.30 * deep) * mix(vec3(1.0), vec3(0.47, 0.58, 0.90), deep);
    night += vec3(0.002, 0.006, 0.020);
    vec3 found = mix(night, c * (0.92 + 0.14 * sun), day);
    found *= mix(vec3(1.0), vec3(1.22, 0.97, 0.76), dusk * 0.7);
    float season = clamp((sky.y - 16.0) / 22.0, -1.0, 1.0);
    vec3 warm = vec3(1.05, 1.02, 0.93), cold = vec3(0.92, 0.99, 1.08);
    return found * mix(vec3(1.0), season > 0.0 ? warm : cold, abs(season));
}

// Returns the brightness of streaks of rain; `size` is the width of a column of streaks in pixels.
float streaks(float rain, float size, float speed, float salt) {
    vec2 p = vec2(uv.x * viewport.x + uv.y * viewport.y * 0.16, uv.y * viewport.y) / size;
    float column = floor(p.x), offset = dice(vec2(column, salt) + 400.0);
    float y = p.y * 0.075 + seconds * speed * (0.8 + 0.4 * offset) + offset * 31.0;
    float drop = floor(y), chance = dice(vec2(column + 400.0, mod(drop, 4096.0) + salt));
    float across = abs(fract(p.x) - 0.5), along = fract(y);
    return step(chance, rain) * (1.0 - smoothstep(0.10, 0.42, across)) * smoothstep(0.0, 0.08, along)
        * (1.0 - smoothstep(0.10, 0.55, along));
}

#ifdef WIND
// Returns the brightness of wisps of air that move with the wind.
float wisps(vec2 place) {
    vec2 q = place - drift;
    float broad = lattice(q, steps_of(46.0)), thin = grained(q + broad * 9.0, 340.0).g;
    return smoothstep(0.52, 0.86, broad * 0.6 + thin * 0.4);
}
#endif
#endif

void main() {
    vec3 c = sound(texture(picture, uv).rgb);
#ifdef WEATHER
    vec2 spot = spot_in(ground_place, ground_wraps, at);
    vec4 sky = texture(sky_plane, spot);
    // smooth the light along x, so that twilight is a wide strip
    vec2 wide = vec2(ground_place.z * 15.0, 0.0);
    vec2 seen = vec2(sky.x, texture(sky_plane, spot + wide).x) + vec2(texture(sky_plane, spot - wide).x, 0.0);
    seen += vec2(texture(sky_plane, spot + 2.2 * wide).x, texture(sky_plane, spot - 2.2 * wide).x);
    sky.x = 0.45 * sky.x + 0.55 * 0.2 * (seen.x + seen.y);
    c = mix(c, lit(c, sky), strength);
    float rain = clamp(sky.z * 1.6, 0.0, 1.0) * strength;
    if (rain > 0.003) {
        float drops = streaks(rain * 0.5, 3.0, 2.1, 1.0) * 0.6 + streaks(rain * 0.4, 5.0, 1.6, 77.0);
        c = mix(c, c * 0.86 + vec3(0.012, 0.020, 0.030), rain * 0.6) + drops * vec3(0.10, 0.13, 0.16);
    }
#ifdef WIND
    c += wisps(middle + at) * windy * strength * vec3(0.020, 0.026, 0.032);
#endif
#endif
    c += sound(texture(glow, uv).rgb) * bloom;
    vec2 p = uv * 2.0 - 1.0;
    c *= 1.0 - 0.20 * pow(clamp(dot(p, p) - 0.35, 0.0, 2.0), 1.2);
    c = c * (1.0 + c / 6.0) / (1.0 + 0.30 * c);
    float dither = (dice(mod(gl_FragCoord.xy, 512.0) + 3.0) - 0.5) / 255.0;
    colour = vec4(pow(clamp(c, 0.0, 1.0), vec3(1.0 / 1.12)) + dither, 1.0);
}
