#version 330
#include "ground_body.glsl"
