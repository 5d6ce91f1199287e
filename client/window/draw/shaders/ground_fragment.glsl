#version 330
#define NEAR
#include "ground_body.glsl"
