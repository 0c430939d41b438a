/* client_internal.h - a repository's endpoints and one authorised call, for the parts of client.h.
 */
#pragma once

#include <pthread.h>

#include "registry/client.h"
#include "registry/registries_internal.h"

#define ENDPOINTS_MAX 16

/* The registry itself, or a mirror of it. */
struct endpoint {
    char *host;       /* "docker.io", "mirror.example:5000" */
    char *repository; /* as this host calls it */
    bool is_mirror;
    const char
        *ns; /* the registry a mirror of several shall answer for; NULL: it needs no telling */
    enum mirror_use use;
};

struct registry {
    struct registries *all; /* borrowed */
    enum registry_use use;
    char *host; /* "docker.io" */
    char *name; /* "docker.io/library/debian", for messages */
    struct {
        struct endpoint *items; /* mirrors in order, the registry itself last; never empty */
        size_t count;
        size_t capacity;
    } endpoints;
    pthread_mutex_t lock;
    size_t preferred;     /* guarded by lock: the endpoint that answered last */
    uint32_t lying;       /* guarded by lock: a bit per endpoint that sent wrong bytes */
    struct strv warnings; /* guarded by lock: shown already */
};

/* One request to one endpoint. Fill in method, headers, body and sink of `request`. */
struct call {
    const struct endpoint *endpoint;
    const char *path;               /* below /v2/<repository>/ */
    const char *url;                /* or absolute, an upload session; then path is NULL */
    const struct strv *more_scopes; /* beside those of the repository; may be NULL */
    struct http_request request;
};

/* Does the call, with what the endpoint wants to see as authorization; a 401 is tried again once
 * with new credentials. `*out` must be zeroed and is to be released always. Any other status is
 * success. */
int client_call(struct registry *r, struct call *call, struct http_response *out,
                struct error *err);

/* What a refusal means, in one sentence; `what` is what was wanted: "manifest 'latest'". */
int client_refused(struct registry *r, const struct endpoint *endpoint,
                   const struct http_response *answer, const char *what, struct error *err);

/* Tries the endpoints in turn, the one that answered last first, until `attempt` returns 0 or more.
 * By a tag, mirrors for digests alone are left out, and the reverse. */
int client_try_endpoints(struct registry *r, bool by_digest,
                         int (*attempt)(struct registry *r, const struct endpoint *endpoint,
                                        void *context, struct error *err),
                         void *context, struct error *err);
/* Leaves an endpoint that sent wrong bytes out from now on. */
void client_mark_lying(struct registry *r, const struct endpoint *endpoint);
const struct endpoint *client_origin(const struct registry *r); /* the registry itself */

/* RFC 8288: <url>; rel="next". The URL of the list's next page, on the same origin, or NULL; caller frees.
 */
int client_next_page(const struct http_response *answer, char **url, struct error *err);

/* Adds a manifest that has a subject to the subject's fallback tag. */
int referrers_add(struct registry *r, const struct manifest *m, const char *media_type,
                  const void *bytes, size_t size, struct error *err);
