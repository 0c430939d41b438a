/* source_internal.h - what the kinds of sources share. */
#pragma once

#include "builder/source/source.h"

struct json;
struct tree;
struct view;

/* What the store knows under a key. `document` is the record's own text, or NULL. */
struct source_record {
    bool is_found;
    int64_t layer;
    struct json *document;
};
void source_record_release(struct source_record *r);
DEFINE_CLEANUP_VALUE(source_record_release, struct source_record)
#define auto_source_record CLEANUP(source_record_release)
int source_find(struct fetch *f, const struct digest *key, struct source_record *out,
                struct error *err);
/* What is remembered of a layer: all borrowed. */
struct source_about {
    const struct digest *key;
    const char *description;     /* for du */
    const struct json *document; /* the record's own text; or NULL */
};
/* Seals the view and remembers it, in one transaction. */
int source_keep(struct fetch *f, struct view *v, const struct source_about *about, int64_t *layer,
                struct error *err);
/* Remembers a layer that is there already, if anything about it is new. */
int source_note(struct fetch *f, const struct source_about *about, int64_t layer,
                struct error *err);
/* The bytes of a secret, or NULL. */
const struct build_secret *source_secret(const struct fetch *f, const char *id);
int source_check_stop(const struct fetch *f, struct error *err);
/* What was fetched, to read from. Caller closes. */
int source_open_tree(struct fetch *f, const struct source *s, struct tree **out, struct error *err);
/* The one file of a source, when it is an archive: 1 and its bytes, which the caller closes before the
 * tree that they are read from; 0 when it is none. */
int source_open_archive(struct fetch *f, const struct source *s, struct tree **tree,
                        struct reader **out, struct error *err);
