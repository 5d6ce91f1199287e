#version 330
#define NEAR 1
#include "monster_body.glsl"
