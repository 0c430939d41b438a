/* auth.h - what to put into the Authorization header of a request to a registry.
 *
 * Learns from 401 answers what an origin wants (Basic or a token service), gets tokens for exactly
 * the scopes asked for, keeps them until 90 % of their life is over, and shares all that between
 * threads: a token is fetched once however many wait for it. Docker "Token Authentication
 * Specification" (GET) and "OAuth2" (POST); distribution-spec leaves it open. SECURITY R43, R44.
 */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "registry/credentials.h"
#include "registry/http.h"
#include "registry/url.h"

struct auth;

struct auth *auth_new(struct http *http, struct credentials *credentials); /* both borrowed */
void auth_free(struct auth *a);

/* Who is asked for what. */
struct auth_target {
    const struct url *origin;  /* scheme, host and port count; the path does not */
    const char *host;          /* whose credentials: "docker.io" for the Hub's API host */
    const char *repository;    /* for credentials of a part of the host; NULL: the whole host */
    const struct strv *scopes; /* "repository:a/b:pull"; NULL or empty for a login */
    /* Instead of stored credentials: what a login tries. */
    const struct credential *credential;
};

/* The value to send, "" for none. Fetches a token when the origin is known to want one.
 * Errors: -EACCES the token service refused, or may not be trusted with what we have; those of
 * http_request and credentials_find. */
int auth_header(struct auth *a, const struct auth_target *target, struct str *out,
                struct error *err);

/* Learns from a 401 `answer` to a request sent with header value `used` ("" for none). Returns 1
 * when another try may do better, 0 when the registry has seen the best there is. -EPROTO it wants
 * a scheme nobody knows; -EACCES its token service is not to be trusted. */
int auth_learn(struct auth *a, const struct auth_target *target, const struct http_response *answer,
               const char *used, struct error *err);

/* Is anybody known for this target? For the sentence about a refusal. */
bool auth_has_credentials(struct auth *a, const struct auth_target *target);
/* The refresh token which the token service gave for a login, or NULL: caller frees. It is asked
 * for when `credential` is set in the target. */
char *auth_take_refresh_token(struct auth *a, const struct auth_target *target);
