/* lent.h - what the caller lends a build, to fetches and to steps: secrets, and agents for ssh.
 *
 * All borrowed for as long as the build runs. None of it enters a key, a layer or a log (SECURITY R49,
 * R55).
 */
#pragma once

#include <stddef.h>

struct build_secret {
    const char *id;
    const char *bytes; /* NUL-terminated behind `size`, for use as a variable */
    size_t size;
};

struct build_ssh {
    const char *id;
    const char *socket; /* of an agent */
};

/* The one with this id, or NULL. */
const struct build_secret *build_secret_find(const struct build_secret *secrets, size_t count,
                                             const char *id);
