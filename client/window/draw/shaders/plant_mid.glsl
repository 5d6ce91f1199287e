#version 330
#define NEAR 0
#include "plant_rosette.glsl"
