/* banned.h - functions nobody here may call, because a better one exists. Include it last. */
#pragma once

/* The fortified C library defines some of these as macros, which cannot be poisoned. */
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#undef gets
#undef strtok
#undef tmpnam
#undef mktemp
#undef tempnam
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok tmpnam mktemp tempnam
