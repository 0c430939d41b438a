/* banned.h - functions nobody here may call, because a better one exists. Include it last. */
#pragma once

#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok tmpnam mktemp tempnam
