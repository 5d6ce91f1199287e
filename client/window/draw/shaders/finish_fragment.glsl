#version 330
#include "finish_body.glsl"
