#version 330
#define NEAR 0
#include "monster_body.glsl"
