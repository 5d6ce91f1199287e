#version 330
#define WEATHER
#include "finish_body.glsl"
