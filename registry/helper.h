/* helper.h - runs docker-credential-<name>, the protocol of docker-credential-helpers.
 *
 * The program is looked up on PATH, gets one verb as argument and the rest on its standard input.
 * No shell, no secret in an argument, no descriptor but the three (SECURITY R48).
 */
#pragma once

#include <stdatomic.h>

#include "fs/base/error.h"
#include "registry/credentials.h"

/* Which one, and how long a run of it is waited for. */
struct helper {
    const char *name;
    unsigned timeout_ms;
    const atomic_bool *cancelled; /* or NULL */
};

/* Sets *out and returns 1, or 0 when the helper knows nothing about `server`. Errors: -EINVAL the
 * name may not be run; -ENOENT no such program; -ETIMEDOUT; -ECANCELED; -EIO it failed, with what it
 * said of that. */
int helper_get(const struct helper *h, const char *server, struct credential *out,
               struct error *err);
int helper_store(const struct helper *h, const char *server, const struct credential *credential,
                 struct error *err);
/* 1 erased, 0 there was nothing. */
int helper_erase(const struct helper *h, const char *server, struct error *err);
