#version 330
#define NEAR 1
#include "stem_cord.glsl"
