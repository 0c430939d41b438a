/* token.h - one conversation with a token service. What is cached and when it is asked: auth.c. */
#pragma once

#include "fs/base/cleanup.h"
#include "fs/base/error.h"
#include "fs/base/str.h"
#include "registry/credentials.h"
#include "registry/http.h"
#include "registry/url.h"

struct token_request {
    const char *host;                    /* the registry's name in messages */
    const struct url *realm;             /* the service, from token_check_realm */
    const char *service;                 /* or NULL */
    const struct strv *scopes;           /* may be NULL */
    const struct credential *credential; /* may be told to the service */
    bool wants_refresh_token;            /* for a login */
};

struct token {
    char *text;
    char *refresh_token; /* or NULL */
    uint64_t life_ms;    /* from when the request was sent */
};
void token_release(struct token *t);
DEFINE_CLEANUP_VALUE(token_release, struct token)
#define auto_token CLEANUP(token_release)

/* May this service be asked at all, and may it see the credentials of the registry? https only
 * (http where the registry is spoken to in clear text itself, on the same host), no address inside
 * this machine or its link unless the registry is there too. *may_know_us is false for another
 * owner's host: it is then asked as nobody. -EACCES, -EINVAL. */
int token_check_realm(const struct url *origin, const char *realm, struct url *out,
                      bool *may_know_us, struct error *err);

/* Errors: -EACCES refused; -EPROTO an answer that makes no sense; those of http_request. */
int token_fetch(struct http *http, const struct token_request *request, struct token *out,
                struct error *err);
