/* registries.h - all that one process knows about registries: where they are, how far to trust
 * them, who we are.
 *
 * Joins the HTTP client, registries.conf (mirrors, blocked, insecure, aliases;
 * containers-registries.conf(5)), the credentials and the tokens got so far. Files are read when
 * first needed. Thread-safe; one per process.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "registry/http.h"
#include "registry/reference.h"

struct registries;

struct registries_options {
    struct http_options http; /* zeroed: defaults */
    const struct strv
        *insecure;           /* hosts as in http_allow_insecure (--insecure-registry), or NULL */
    bool insecure_all;       /* --tls-verify=false */
    const char *authfile;    /* --authfile; NULL: REGISTRY_AUTH_FILE and the usual places */
    const char *config_file; /* registries.conf; NULL: CONTAINERS_REGISTRIES_CONF, the user's, */
                             /* the system's */
};

/* Does no I/O; everything is copied. NULL: all defaults. */
struct registries *registries_new(const struct registries_options *options);
void registries_free(struct registries *all); /* every struct registry must be closed */
DEFINE_CLEANUP(registries_free, struct registries *)
#define auto_registries CLEANUP(registries_free)

struct http *registries_http(struct registries *all); /* for ADD <url>; borrowed */
/* Who to be at `host`, and nowhere else, instead of what is stored (--creds). */
void registries_set_credential(struct registries *all, const char *host, const char *user,
                               const char *secret);

/* Replaces a short name by its alias ([aliases] in registries.conf); other references stay as they
 * are. `text` is what the user typed. Like reference_parse otherwise. */
int registries_resolve(struct registries *all, const char *text, struct reference *out,
                       struct error *err);

struct login_result {
    char *where;          /* the file, or "credential helper 'x'", that holds or held them */
    bool is_plain_text;   /* they are readable in that file, worth a warning */
    bool had_credentials; /* logout: something was there to forget */
};
void login_result_release(struct login_result *r);
DEFINE_CLEANUP_VALUE(login_result_release, struct login_result)
#define auto_login_result CLEANUP(login_result_release)

/* Checks user and password against the registry (GET /v2/ and its token service) and only then
 * stores them: in the configured credential helper, else in the credentials file (0600, atomic,
 * unknown keys kept; SECURITY R47). `host` is as the user typed it. `user` "<token>" stores
 * `password` as an identity token.
 *
 * Errors: -EACCES the registry refused them; -EPERM the file is not ours to write; those of
 * http_request. */
int registries_login(struct registries *all, const char *host, const char *user,
                     const char *password, struct login_result *out, struct error *err);
/* Forgets them everywhere they were found. Knowing nothing is success (had_credentials false). */
int registries_logout(struct registries *all, const char *host, struct login_result *out,
                      struct error *err);
/* Appends the hosts that credentials are stored for; one whose entry is in a helper alone is not seen. */
int registries_logins(struct registries *all, struct strv *out, struct error *err);
/* The user name stored for `host`, for the prompt; -ENOENT when there is none. Caller frees *out.
 */
int registries_user(struct registries *all, const char *host, char **out, struct error *err);
