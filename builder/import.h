/* import.h - a root filesystem as a tar becomes an image of one layer. */
#pragma once

#include "fs/base/digest.h"
#include "fs/base/error.h"
#include "fs/base/progress.h"
#include "fs/base/str.h"
#include "registry/platform.h"

struct registries;
struct store;

struct import_options {
    const char *source;              /* file, "http://.." or "https://.."; NULL: standard input */
    const char *message;             /* comment in the history; NULL: "Imported from SOURCE" */
    const struct strv *changes;      /* Dockerfile instructions that only record, one each */
    const struct platform *platform; /* NULL: the host's */
    struct registries *registries;   /* for what a change might ask for */
    struct progress *progress;       /* may be NULL */
    int64_t created_ns;
};

/* The tar may be packed with gzip, bzip2, xz or zstd, which is found by content; gzip and zstd are
 * kept for the next push. Nothing is unpacked and memory is bounded. -EINVAL a change that is none;
 * -EBADMSG no tar, or a damaged one. */
int import_image(struct store *store, const struct import_options *options, struct digest *manifest,
                 struct digest *config, struct error *err);
