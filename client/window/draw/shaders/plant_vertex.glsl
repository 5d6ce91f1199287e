#version 330
#define FLOWER 0
#include "plant_quad.glsl"
