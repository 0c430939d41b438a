/* challenge.c - a tolerant reader of WWW-Authenticate: several challenges, quoted commas. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "registry/challenge.h"

#include "fs/base/banned.h"

#define TOKEN_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"

void challenge_release(struct challenge *c)
{
    free(c->realm);
    free(c->service);
    free(c->scope);
    free(c->error);
    *c = (struct challenge){0};
}

static const char *skip(const char *at, const char *bytes)
{
    return at + strspn(at, bytes);
}

/* A token or a quoted string with its escapes; returns what follows. */
static const char *read_value(const char *at, struct str *out)
{
    size_t length;

    if (*at != '"') {
        length = strcspn(at, ", \t");
        str_add_bytes(out, at, length);
        return at + length;
    }
    for (at++; *at != '\0' && *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        str_add_char(out, *at);
    }
    return *at == '"' ? at + 1 : at;
}

static void keep(struct challenge *c, const char *name, size_t length, const char *value)
{
    const struct {
        const char *name;
        char **to;
    } wanted[] = {
        {"realm", &c->realm}, {"service", &c->service}, {"scope", &c->scope}, {"error", &c->error}};

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (strlen(wanted[i].name) != length || strncasecmp(wanted[i].name, name, length) != 0)
            continue;
        /* Said twice is an attempt to be read differently by others: the first counts. */
        if (!*wanted[i].to)
            *wanted[i].to = mem_strdup(value);
    }
}

/* The parameters of one challenge; stops before what looks like the next scheme. */
static const char *read_parameters(const char *at, struct challenge *c)
{
    for (;;) {
        size_t length;
        const char *equals;
        auto_str struct str value = {0};

        at = skip(at, " \t,");
        length = strspn(at, TOKEN_BYTES);
        equals = skip(at + length, " \t");
        if (length == 0 || *equals != '=')
            return at;
        equals = read_value(skip(equals + 1, " \t"), &value);
        keep(c, at, length, str_text(&value));
        at = equals;
    }
}

void challenge_read(const char *value, struct challenge *best)
{
    const char *at = skip(value, " \t,");

    while (*at != '\0') {
        auto_challenge struct challenge c = {0};
        size_t length = strspn(at, TOKEN_BYTES);
        const char *scheme = at;

        at = read_parameters(skip(at + length, " \t"), &c);
        if (length == 6 && strncasecmp(scheme, "bearer", 6) == 0 && c.realm)
            c.kind = CHALLENGE_BEARER;
        else if (length == 5 && strncasecmp(scheme, "basic", 5) == 0)
            c.kind = CHALLENGE_BASIC;
        if (c.kind > best->kind) {
            challenge_release(best);
            *best = STEAL(&c);
        }
        /* token68 or garbage: go on behind the next comma. */
        if (*at != '\0' && strspn(at, TOKEN_BYTES) == 0)
            at = skip(at + strcspn(at, ","), " \t,");
    }
}
