#version 330
#define FLOWER 1
#include "plant_quad.glsl"
