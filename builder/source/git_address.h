/* git_address.h - what is said of a git repository: where, which commit, what of it.
 *
 *     https://host/path.git#ref:subdir      git@host:path.git#ref:subdir      github.com/o/r#ref
 *     https://host/path.git?branch=main&subdir=a&checksum=abc123
 *
 * (Dockerfile reference, "Adding files from a git repository"; docker build, "Git repositories".)
 * Nothing in the result can be taken for an option by a program it is handed to (SECURITY R54).
 */
#pragma once

#include <stdbool.h>

#include "fs/base/cleanup.h"
#include "fs/base/error.h"

enum git_transport { GIT_HTTP, GIT_HTTPS, GIT_SSH, GIT_PLAIN };
enum git_choice { GIT_UNSET, GIT_OFF, GIT_ON };

struct git_address {
    enum git_transport transport;
    char *remote;   /* for git: no fragment, no query, no password */
    char *host;     /* without port */
    char *userinfo; /* of an http(s) URL, "user:password"; else NULL. A secret */
    char *ref;      /* branch, tag, refs/... or commit; NULL: the remote's HEAD */
    char *subdir;   /* clean, relative; NULL: all of it */
    char *checksum; /* hex digits the commit must begin with; or NULL */
    enum git_choice keep_git_dir;
    enum git_choice submodules;
    bool commit_times; /* files carry the commit's time, not that of the fetch */
    bool by_commit;    /* fetch `checksum` itself, whatever `ref` stands for now */
};
void git_address_release(struct git_address *a);
DEFINE_CLEANUP_VALUE(git_address_release, struct git_address)
#define auto_git_address CLEANUP(git_address_release)

/* Whether ADD takes this for a repository: git:// and ssh:// URLs, user@host:path, and http(s) URLs
 * whose path ends in ".git". */
bool git_address_is(const char *text);
/* The same for a build context, where "github.com/..." is one too. */
bool git_address_is_context(const char *text);
/* Errors: -EINVAL, one sentence that names the part that is wrong, never a password. */
int git_address_parse(const char *text, struct git_address *out, struct error *err);
/* As "?checksum=" would; -EINVAL when it is none or another one is there. */
int git_address_set_checksum(struct git_address *a, const char *value, struct error *err);
/* The remote of a submodule, as .gitmodules has it: "./x" and "../x" start at `parent`. */
int git_address_submodule(const struct git_address *parent, const char *url,
                          struct git_address *out, struct error *err);
/* 40 or 64 hex digits, lower case. */
bool git_is_commit(const char *text);
