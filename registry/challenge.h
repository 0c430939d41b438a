/* challenge.h - what a WWW-Authenticate header asks for (RFC 9110 11.6.1, RFC 6750 3). */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/str.h"

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_kind kind;
    char *realm;   /* Bearer: the token service's URL; or NULL */
    char *service; /* or NULL */
    char *scope;   /* or NULL; only looked at, never obeyed */
    char *error;   /* "insufficient_scope", or NULL */
};

/* Reads one header value, which may hold several challenges, and keeps in `best` the strongest kind
 * seen so far: Bearer with a realm, then Basic. Never fails: what cannot be read is not there. */
void challenge_read(const char *value, struct challenge *best);
void challenge_release(struct challenge *c);
DEFINE_CLEANUP_VALUE(challenge_release, struct challenge)
#define auto_challenge CLEANUP(challenge_release)
