#version 330
#define NEAR 1
#include "plant_rosette.glsl"
