#version 330
#define NEAR 0
#include "stem_cord.glsl"
