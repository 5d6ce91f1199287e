#version 330
#define WEATHER
#define WIND
#include "finish_body.glsl"
