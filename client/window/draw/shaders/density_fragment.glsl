#version 330
#include "ground_shared.glsl"
// Draws densities: plants as a haze and specks, other beings as bright specks, at random positions.
in vec2 at;
out vec4 colour;
uniform sampler2D plant_counts, monster_counts;  // beings per cell, of four species each
uniform vec2 density_wraps;   // see `spot_in`
uniform vec4 density_place;   // see `spot_in`
uniform float seconds;
uniform float strength;
uniform vec3 plant_a, plant_b, plant_c, plant_d, monster_a, monster_b, monster_c, monster_d;
uniform float grid_cells;  // width of the cells of the finer grid, in cells of the world; a power of two
uniform float blend;       // share of the coarser grid, whose cells are twice as wide

// Returns one of four colours, chosen by the random number `fate` with probabilities proportional to the counts.
vec3 chosen(vec4 counts, float fate, vec3 a, vec3 b, vec3 c, vec3 d) {
    float total = dot(counts, vec4(1.0)) * fate;
    if (total < counts.x) return a;
    if (total < counts.x + counts.y) return b;
    return total < counts.x + counts.y + counts.z ? c : d;
}

// Returns the specks in a grid with cells of this width: rgb is colour, a is coverage. `turn` is the cosine and sine of
// the angle by which the grid is rotated, so that its rows are not visible.
vec4 scattered(vec2 place, float cells, vec4 plants, vec4 monsters, vec2 turn) {
    vec2 p = vec2(place.x * turn.x - place.y * turn.y, place.x * turn.y + place.y * turn.x) / cells;
    vec2 q = floor(p), inside = p - q;
    float fate = dice(q), kind = dice(q + 311.0), shade = dice(q + 733.0), other = dice(q.yx + 97.0);
    float area = cells * cells;
    vec2 spot = 0.5 + (vec2(kind, shade) - 0.5) * 0.5;
    float far = length(inside - spot);
    float green = 1.0 - exp(-dot(plants, vec4(1.0)) * area * 0.45);
    float leaf = step(fate, green) * (1.0 - smoothstep(0.20, 0.62, far));
    float light = 0.40 + 0.5 * other + 1.1 * shade * shade * shade;
    vec4 found = vec4(chosen(plants, kind, plant_a, plant_b, plant_c, plant_d) * light * leaf, leaf);
    float many = 1.0 - exp(-dot(monsters, vec4(1.0)) * area);
    float alive = step(other, many);
    float spark = alive * (1.0 - smoothstep(0.18, 0.55, far)), halo = alive * exp(-far * far * 9.0);
    vec3 body = chosen(monsters, shade, monster_a, monster_b, monster_c, monster_d);
    float twinkle = 0.85 + 0.25 * sin(seconds * (0.7 + kind) + fate * 40.0);
    found = mix(found, vec4(body * 1.35 * twinkle + 0.12, 1.0), spark);
    found.rgb += body * halo * 0.30;
    return found;
}

void main() {
    vec2 place = middle + at, spot = spot_in(density_place, density_wraps, at);
    vec4 plants = max(spline(plant_counts, spot), 0.0), monsters = max(spline(monster_counts, spot), 0.0);
    vec4 grain = grained(place, 230.0);
    float broad = lattice(place, steps_of(31.0)), clump = grain.g, fine = grain.b;
    float patch_light = clamp(0.5 + (broad - 0.5) * 0.8 + (clump - 0.5) * 1.3 + (fine - 0.5) * 0.9, 0.0, 1.0);
    plants *= 0.25 + 1.5 * patch_light;
    place = mod(place, world);
    vec4 scatter = mix(
        scattered(place, grid_cells, plants, monsters, vec2(0.894427, 0.447214)),
        scattered(place, grid_cells * 2.0, plants, monsters, vec2(0.6, 0.8)), blend);
    float total = dot(plants, vec4(1.0));
    vec3 haze = (plants.x * plant_a + plants.y * plant_b + plants.z * plant_c + plants.w * plant_d) / max(total, 1e-5);
    haze = mix(haze, haze.brg, (broad - 0.5) * 0.35) * (0.38 + 0.60 * patch_light);
    float cover = (1.0 - exp(-total * 1.1)) * 0.72;
    vec4 found = vec4(haze * cover, cover);
    found = found * (1.0 - scatter.a * 0.7) + vec4(scatter.rgb * (0.60 + 0.5 * patch_light), scatter.a * 0.7);
    vec3 crowd = monsters.x * monster_a + monsters.y * monster_b + monsters.z * monster_c + monsters.w * monster_d;
    found.rgb += crowd * 0.35 / (1.0 + 2.0 * dot(monsters, vec4(1.0)));
    colour = found * strength;
}
