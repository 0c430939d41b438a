/* source_time.c - when something fetched was made, as far as it says so itself. */
#include "builder/source/source.h"
#include "builder/source/source_internal.h"
#include "builder/tree/tree.h"
#include "fs/archive.h"
#include "fs/layer.h"

#include "fs/base/banned.h"

static int newest_in(struct fetch *f, struct reader *from, int64_t *out, struct error *err)
{
    auto_archive_reader struct archive_reader *archive =
        archive_reader_new(from, "what was fetched");
    const struct tar_entry *entry;
    int r;

    while ((r = archive_reader_next(archive, &entry, err)) == 1) {
        if (entry->meta.type == ENTRY_FILE && entry->meta.mtime_ns > *out)
            *out = entry->meta.mtime_ns;
        r = source_check_stop(f, err);
        if (r < 0)
            return r;
    }
    return r;
}

/* A file that is no archive has no time but the one its server gave. */
static int newest_of_file(struct fetch *f, const struct source *s, int64_t *out, struct error *err)
{
    auto_tree struct tree *tree = NULL;
    auto_reader struct reader *from = NULL;
    int r = source_open_archive(f, s, &tree, &from, err);

    return r <= 0 ? r : newest_in(f, from, out, err);
}

int source_time(struct fetch *f, const struct source *s, int64_t *out, struct error *err)
{
    auto_reader struct reader *tar = NULL;
    int r;

    *out = s->mtime_ns;
    if (s->mtime_ns != 0 || s->commit != NULL || s->layer == 0)
        return 0;
    if (s->name != NULL)
        return newest_of_file(f, s, out, err);
    r = layer_tar_open(f->store, s->layer, &tar, err);
    return r < 0 ? r : newest_in(f, tar, out, err);
}
