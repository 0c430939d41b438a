/* source.h - what a build names by an address: a file behind a URL, a git repository, an archive.
 *
 * Each becomes one layer of the store, remembered by a cache record, so that du lists it, prune
 * removes it, and whatever is copied out of it later shares its bytes. A URL is asked again in
 * every build, under the conditions of RFC 9110 13.1 (ETag, Last-Modified): unless its content is
 * pinned by a checksum, a rebuild costs one 304. A repository is asked for the commit a name stands
 * for; a commit that is known costs nothing.
 *
 * Nothing fetched is ever written as files of the host: an archive's entries become inodes of a
 * view, of a repository no work tree is made (SECURITY R37, R54).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "builder/source/git_address.h"
#include "builder/source/lent.h"
#include "fs/base/cleanup.h"
#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/progress.h"
#include "fs/base/str.h"
#include "fs/base/stream.h"

struct http;
struct store;

/* Who fetches: all borrowed. */
struct fetch {
    struct store *store;
    struct http *http;
    struct progress *progress; /* may be NULL */
    uint32_t vertex;           /* that statuses belong to */
    const struct build_secret *secrets;
    size_t secret_count;
    const struct build_ssh *ssh;
    size_t ssh_count;
    const char *agent;       /* socket used when `ssh` has no "default"; or NULL */
    const atomic_bool *stop; /* true: end with -ECANCELED; or NULL */
    int64_t now_ns;          /* time of what has none of its own */
};

struct source {
    int64_t layer;         /* the tree; 0: an empty one */
    struct digest key;     /* of what it holds, as far as it decides a build's result */
    char *name;            /* of the one file in it; NULL: it is a tree */
    int64_t mtime_ns;      /* the file's, the archive's, the commit's; 0: unknown */
    char *commit;          /* hex, of a repository; else NULL */
    struct digest content; /* of the file's bytes, or of the archive's */
    bool was_cached;       /* nothing had to be fetched */
};
void source_release(struct source *s);
DEFINE_CLEANUP_VALUE(source_release, struct source)
#define auto_source CLEANUP(source_release)

bool source_is_url(const char *text); /* http:// or https:// */
/* An address without user name, password and query, for people and logs (SECURITY R49). Caller
 * frees. */
char *source_shown(const char *address);
/* What it is: "sha1:<hex>" of a repository's commit, "sha256:<hex>" of a file's or archive's bytes. Caller
 * frees. */
char *source_digest_text(const struct source *s);
/* The last component of a URL's path, decoded; "__unnamed__" when there is none or it could not
 * be a file's name. Caller frees. */
char *source_file_name(const char *url);

struct http_source {
    const char *url;
    const char *name;              /* of the file in the tree; NULL: source_file_name */
    const struct digest *checksum; /* or NULL */
    uint64_t size_max;             /* 0: LIMIT_DOWNLOAD_SIZE */
    uint64_t text_size_max;        /* of what does not begin as an archive; 0: no such cap */
};
/* A tree with one file, mode 0600, 0:0, its time that of Last-Modified, else 0. A secret
 * HTTP_AUTH_TOKEN_<host> or HTTP_AUTH_HEADER_<host> is sent to that host alone, over TLS or to this
 * machine.
 *
 * Errors: -EINVAL the URL; -ENOENT, -EACCES, -EIO by the answer's status; -EBADMSG the checksum;
 * those of http_request. */
int source_http(struct fetch *f, const struct http_source *from, struct source *out,
                struct error *err);

/* The tree of a commit, files 0644 or 0755, 0:0. `git` does the transfer: no hooks, no prompts, no
 * configuration but ours, no protocol but http, https, ssh and git. What it got is kept in a bare
 * mirror, so that the next commit costs what changed.
 *
 * Errors: -ENOENT no such ref, commit or directory, or no git program; -EBADMSG the commit is not
 * the one asked for; -EIO git failed: its own last line is the sentence. */
int source_git(struct fetch *f, const struct git_address *from, struct source *out,
               struct error *err);

/* The tree in a tar, packed or not, everything 0:0. `what` names it in messages. With `content`, the
 * digest of the archive, nothing is read when its tree is known. */
int source_archive(struct fetch *f, struct reader *from, const char *what,
                   const struct digest *content, struct source *out, struct error *err);

/* A build context by its address: the tree of a repository or of an archive behind a URL. What is
 * neither is one file, named by out->name: a Dockerfile, whose context is empty. */
int source_context(struct fetch *f, const char *address, bool keep_git_dir, struct source *out,
                   struct error *err);
/* The same of standard input; a file's bytes go to `text`. -EFBIG above LIMIT_DOCKERFILE_SIZE. */
int source_stream(struct fetch *f, struct reader *from, struct source *out, struct str *text,
                  struct error *err);
/* When what was fetched was made: its own time, else that of the newest regular file in the archive
 * it is; 0 when nothing tells. */
int source_time(struct fetch *f, const struct source *s, int64_t *out, struct error *err);
/* Bytes of a file in the tree, links followed inside it; at most LIMIT_DOCKERFILE_SIZE. -ENOENT. */
int source_read_file(struct fetch *f, const struct source *s, const char *path, struct str *out,
                     struct error *err);
